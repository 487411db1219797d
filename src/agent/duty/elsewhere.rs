//! What a process notices of a duty that another process holds.

use tokio::time::Instant;
use tracing::{info, warn};

use super::Office;
use crate::state::health::{Duty, Health, Role, Trouble};
use crate::state::record::SILENT_AFTER;
use crate::types::Timestamp;

/// The code of a holder that makes no progress.
const SILENT: &str = "HOLDER_SILENT";

/// An eye on the holder's record.
pub(super) struct Elsewhere<'a> {
    office: &'a Office,
    duty: Duty,
    since: Option<Instant>,
    silent: bool,
    beaten: Option<Timestamp>,
}

impl<'a> Elsewhere<'a> {
    pub(super) fn new(office: &'a Office, duty: Duty) -> Self {
        Self {
            office,
            duty,
            since: None,
            silent: false,
            beaten: None,
        }
    }

    /// Another process holds the duty. Whether that is news.
    pub(super) fn begin(&mut self) -> bool {
        let is_news = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        is_news
    }

    /// No other process holds the duty any more.
    pub(super) fn is_over(&mut self) {
        if self.since.take().is_some() {
            self.silent = false;
            self.set_trouble(None);
            self.take_part(&Health::default());
        }
    }

    /// Reads what the holder wrote.
    pub(super) async fn look(&mut self) {
        self.begin();
        let (file, duty) = (self.office.duties.record.clone(), self.duty);
        let read = self.office.look(move || Ok(file.part(duty))).await.ok().flatten();
        // A holder that has just begun may not have replaced the record of its predecessor yet.
        let watched = self.since.map_or_else(Default::default, |since| since.elapsed());
        let age = read.as_ref().map_or(watched, |(_, age)| watched.min(*age));
        self.tell_silence(age > self.office.duties.config.timing.of(SILENT_AFTER));
        if self.duty == Duty::Presence {
            let reads = read.as_ref().is_none_or(|(part, _)| part.reading != Role::Off);
            self.office.reads_if_it_can.send_replace(reads && !self.silent);
        }
        if let Some((part, _)) = read {
            self.take_part(&part);
        }
    }

    fn take_part(&mut self, part: &Health) {
        match self.duty {
            Duty::Presence => {
                if part.beaten.is_some() && part.beaten != self.beaten {
                    self.office.duties.stream.note_beat_elsewhere();
                }
                self.beaten = part.beaten;
            }
            Duty::Reading => {
                let refused = part.removed || part.is_refused();
                let told = &self.office.refused_elsewhere;
                told.send_if_modified(|before| std::mem::replace(before, refused) != refused);
            }
        }
    }

    fn tell_silence(&mut self, silent: bool) {
        if std::mem::replace(&mut self.silent, silent) == silent {
            return;
        }
        if silent {
            let what = format!(
                "another molecule-mcp of this computer holds the {} of this workspace and makes no progress",
                self.duty
            );
            let remedy = "look at the log of the other process, continue it if it was stopped, or end it";
            warn!("{what}; {remedy}");
            self.set_trouble(Some(Trouble {
                code: SILENT.to_owned(),
                what,
                remedy: remedy.to_owned(),
            }));
        } else {
            info!("the {} of this workspace makes progress again", self.duty);
            self.set_trouble(None);
        }
    }

    fn set_trouble(&self, trouble: Option<Trouble>) {
        // Of reading the tools look into the holder's record themselves.
        if self.duty == Duty::Presence {
            self.office.duties.health.update(|health| {
                health.beat_trouble.take_if(|told| told.code == SILENT);
                health.beat_trouble = trouble.or(health.beat_trouble.take());
            });
        }
    }
}
