//! What was said, shown and acknowledged, kept outside the daemons.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

#[derive(Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    last: u64,
    said: HashMap<String, Said>,
    /// Calls of tools by how they ended.
    calls: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Said {
    length: usize,
    /// The platform said that it has it.
    taken: bool,
    shown: Option<Instant>,
    shows: u32,
    acknowledged: bool,
    wrong: Option<&'static str>,
}

/// The line by which a text is known again.
fn key(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl Ledger {
    /// A text nobody has said yet, at least so long.
    pub fn writes(&self, length: usize) -> String {
        let mut book = self.lock();
        book.last += 1;
        let mut text = format!("message {}\n", book.last);
        while text.len() < length {
            text.push_str("and some words more. ");
        }
        let text = text.trim_end().to_owned();
        let said = Said {
            length: text.len(),
            ..Said::default()
        };
        book.said.insert(key(&text).to_owned(), said);
        text
    }

    pub fn taken(&self, text: &str) {
        if let Some(said) = self.lock().said.get_mut(key(text)) {
            said.taken = true;
        }
    }

    /// An agent was shown a text, or only its beginning. What nobody here has written is not ours to judge: answers, notes.
    pub fn shown(&self, text: &str, is_beginning: bool) {
        if let Some(said) = self.lock().said.get_mut(key(text)) {
            said.shows += 1;
            said.shown.get_or_insert_with(Instant::now);
            if said.acknowledged {
                said.wrong = Some("shown after its acknowledgement");
            } else if said.length != text.len() && !is_beginning {
                said.wrong = Some("shown otherwise than it was said");
            }
        }
    }

    pub fn acknowledged(&self, text: &str) {
        if let Some(said) = self.lock().said.get_mut(key(text)) {
            said.acknowledged = true;
        }
    }

    pub fn when_shown(&self, text: &str) -> Option<Instant> {
        self.lock().said.get(key(text))?.shown
    }

    pub fn called(&self, tool: &str, how_it_ended: &str) {
        *self.lock().calls.entry(format!("{tool} {how_it_ended}")).or_default() += 1;
    }

    /// How many messages the platform has and no agent has acknowledged.
    pub fn open(&self) -> usize {
        let book = self.lock();
        book.said
            .values()
            .filter(|said| said.taken && !said.acknowledged)
            .count()
    }

    /// How many messages the platform has taken so far.
    pub fn count(&self) -> usize {
        self.lock().said.values().filter(|said| said.taken).count()
    }

    pub fn report(&self, wrong: &mut Vec<String>) {
        let book = self.lock();
        let taken: Vec<_> = book.said.iter().filter(|(_, said)| said.taken).collect();
        let shown = taken.iter().filter(|(_, said)| said.shows > 0).count();
        let again: u32 = book.said.values().map(|said| said.shows.saturating_sub(1)).sum();
        println!(
            "messages: {} taken by the platform, {shown} of them shown, {again} shows more because a session ended or a lease did",
            taken.len()
        );
        println!("calls: {:?}", book.calls);
        for (text, said) in &book.said {
            if said.taken && said.shows == 0 {
                wrong.push(format!("{text}: lost"));
            }
            if let Some(what) = said.wrong {
                wrong.push(format!("{text}: {what}"));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }
}
