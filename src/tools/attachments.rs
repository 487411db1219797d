//! Files that go with a message to the person: which may leave this computer, and their copies on the way out.
//!
//! What an agent is asked to attach may be somebody's attempt to get at a secret. So only files below the working directory
//! and below the folders that the user named leave; the file is opened first, and judged by where it really is. All files
//! of a message are judged before the first one is copied, and nothing is sent when one of them is refused.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::config::files::AttachRoots;
use crate::mcp::answer::ToolError;
use crate::state::opened::{self, Opened};
use crate::state::outbox::{Parcel, Work};
use crate::state::spool::Spool;

/// Largest file, in bytes: the platform's limit at level B.
const LARGEST: u64 = 25 * 1024 * 1024;
/// Most files of a message: the platform's limit at level C.
const MOST: usize = 10;
/// Longest name that the person is shown, in characters.
const LONGEST_NAME: usize = 200;

/// One attachment as it is given: the absolute path of a file, a `file://` or `workspace:` address, or `{uri, name}` with
/// such an address.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Value")]
pub(super) struct Attachment {
    /// `None`: it was neither.
    place: Option<String>,
    name: Option<String>,
}

impl From<Value> for Attachment {
    fn from(given: Value) -> Self {
        let text = |key: &str| given[key].as_str().map(str::to_owned);
        Self {
            place: given.as_str().map(str::to_owned).or_else(|| text("uri")),
            name: text("name"),
        }
    }
}

/// What may leave, and where its copies wait.
#[derive(Clone, Debug)]
pub struct Attaching {
    /// The folders whose files may be attached.
    pub roots: AttachRoots,
    /// Files and folders that never leave, whatever the roots are: those that hold credentials.
    pub never: Vec<PathBuf>,
    /// Where the copies wait.
    pub spool: Spool,
}

/// A file that may leave.
struct Admitted {
    opened: Opened,
    name: String,
}

/// Why a file does not leave, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    what: String,
    hint: String,
}

impl Attaching {
    /// Adds files to a message on its way out.
    ///
    /// # Errors
    /// When one of them may not leave, or the message cannot carry files; nothing is left behind then.
    pub(super) async fn add_to(&self, work: &mut Work, given: Vec<Attachment>) -> Result<(), ToolError> {
        if given.is_empty() {
            return Ok(());
        }
        let Work::NotifyUser { parcel, .. } = work else {
            return Err(ToolError::failed(
                "NOT_SUPPORTED_BY_PLATFORM",
                "files can be attached to messages to the person only: the platform has no way to hand one to a peer; \
                 nothing was sent",
                "put what matters into the text, or name a place that the peer can reach",
            ));
        };
        let attaching = self.clone();
        let packed = tokio::task::spawn_blocking(move || attaching.pack(&given)).await;
        *parcel = Some(packed.map_err(|_| ToolError::Internal)??);
        Ok(())
    }

    fn pack(&self, given: &[Attachment]) -> Result<Parcel, ToolError> {
        if given.len() > MOST {
            let rule = format!("must be {MOST} files at most; send the others with another message");
            return Err(ToolError::argument("attachments", rule));
        }
        let mut admitted = Vec::with_capacity(given.len());
        for (place, attachment) in given.iter().enumerate() {
            let refused = |refusal: Refusal| {
                let what = format!("attachments[{place}] {}; nothing was sent", refusal.what);
                ToolError::failed("ATTACHMENT_REFUSED", what, refusal.hint)
            };
            admitted.push(self.admit(attachment).map_err(refused)?);
        }
        let unkept = |error: std::io::Error| {
            ToolError::failed(
                "STATE_UNAVAILABLE",
                format!("the files could not be copied ({}); nothing was sent", error.kind()),
                "check the files and the free space of the state folder (CONFIGS_DIR), then try again",
            )
        };
        let mut packing = self.spool.begin().map_err(unkept)?;
        for Admitted { mut opened, name } in admitted {
            packing.add(&mut opened.file, &name, LARGEST).map_err(unkept)?;
        }
        Ok(packing.keep())
    }

    /// Opens a file and judges it.
    fn admit(&self, attachment: &Attachment) -> Result<Admitted, Refusal> {
        let path = attachment.place.as_deref().and_then(local_path);
        let path = path.ok_or_else(|| refusal("is not the absolute path of a file", PLACE_HINT))?;
        let name = shown_name(attachment.name.as_deref(), &path);
        let opened = opened::open(&path).map_err(|error| refusal(&error.to_string(), PLACE_HINT))?;
        self.judge(&opened.path)?;
        if opened.length == 0 {
            return Err(refusal("is empty, which the platform does not take", "leave it out"));
        }
        if opened.length > LARGEST {
            let what = format!("has {} bytes, and the platform takes {LARGEST} (25 MB)", opened.length);
            return Err(refusal(&what, "compress or split it, or tell the person where it is"));
        }
        Ok(Admitted { opened, name })
    }

    /// Whether the file that really is at `path` may leave.
    fn judge(&self, path: &Path) -> Result<(), Refusal> {
        if self.never.iter().any(|never| is_below(path, never).is_some()) {
            return Err(refusal(
                "holds the state or the credentials of this daemon, which never leave",
                "leave it out; a received file goes out again from a copy in the working directory",
            ));
        }
        if self.roots.listed.iter().any(|root| is_below(path, root).is_some()) {
            return Ok(());
        }
        let current = self.roots.current.as_deref();
        match current.and_then(|current| is_below(path, current)) {
            Some(rest) if rest.components().any(is_hidden) => Err(refusal(
                "has a name, or is in a folder with a name, that begins with a dot; such files often hold secrets",
                "copy it under another name if the person really wants it, or ask the person to add its folder to \
                 MOLECULE_ATTACH_ROOTS",
            )),
            Some(_) => Ok(()),
            None => {
                let allowed = current.map_or_else(String::new, |current| format!(" {} and below", current.display()));
                let hint = format!(
                    "files may be attached from the working directory{allowed} and from the folders in \
                     MOLECULE_ATTACH_ROOTS; copy it there, or ask the person to add its folder to that variable"
                );
                Err(refusal(
                    "is outside of the folders that files may be attached from",
                    &hint,
                ))
            }
        }
    }
}

const PLACE_HINT: &str = "give the absolute path of a regular file on the computer of this daemon";

fn refusal(what: &str, hint: &str) -> Refusal {
    Refusal {
        what: what.to_owned(),
        hint: hint.to_owned(),
    }
}

/// The path that an address names on this computer; `None`: it names none.
fn local_path(given: &str) -> Option<PathBuf> {
    let path = if given.starts_with("file:") {
        Url::parse(given).ok()?.to_file_path().ok()?
    } else {
        PathBuf::from(given.strip_prefix("workspace:").unwrap_or(given))
    };
    path.is_absolute().then_some(path)
}

/// What the person is shown: the name given, else the file's own.
fn shown_name(given: Option<&str>, path: &Path) -> String {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String = given
        .unwrap_or(&own)
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_NAME)
        .collect();
    if name.trim().is_empty() {
        "file".to_owned()
    } else {
        name
    }
}

/// The rest of a path below `root`, which may be told by a link.
fn is_below<'a>(path: &'a Path, root: &Path) -> Option<&'a Path> {
    let real = std::fs::canonicalize(root).ok()?;
    path.strip_prefix(real).ok()
}

fn is_hidden(component: Component<'_>) -> bool {
    component.as_os_str().as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    /// A working directory with a file, and a secret beside it.
    struct Desk {
        home: tempfile::TempDir,
        attaching: Attaching,
    }

    impl Desk {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            for folder in ["work/state", "work/.hidden", "listed/.hidden", "outside"] {
                fs::create_dir_all(home.path().join(folder)).unwrap();
            }
            for file in [
                "work/plan.txt",
                "work/state/.auth_token",
                "work/.hidden/x",
                "listed/.hidden/x",
                "outside/secret",
                "work/token",
            ] {
                fs::write(home.path().join(file), file).unwrap();
            }
            let at = |name: &str| home.path().join(name);
            let attaching = Attaching {
                roots: AttachRoots {
                    current: Some(at("work")),
                    listed: vec![at("listed"), at("nowhere")],
                },
                never: vec![at("work/state"), at("work/token")],
                spool: Spool::new(&at("work/state")),
            };
            Self { home, attaching }
        }

        fn at(&self, name: &str) -> String {
            self.home.path().join(name).display().to_string()
        }

        fn path(&self, name: &str) -> Attachment {
            json!(self.at(name)).into()
        }

        /// The reason why a file does not leave, or its name.
        fn outcome(&self, given: &Attachment) -> String {
            match self.attaching.admit(given) {
                Ok(admitted) => admitted.name,
                Err(refusal) => refusal.what,
            }
        }

        fn spooled(&self) -> usize {
            fs::read_dir(self.home.path().join("work/state/outgoing")).map_or(0, Iterator::count)
        }
    }

    fn notify() -> Work {
        Work::NotifyUser {
            text: "t".to_owned(),
            parcel: None,
        }
    }

    #[test]
    fn only_files_below_the_roots_leave_and_links_do_not_help() {
        let desk = Desk::new();
        for (link, target) in [
            ("work/link", desk.at("outside/secret")),
            ("work/folder", desk.at("outside")),
            ("work/passwd", "/etc/passwd".to_owned()),
            ("outside/in", desk.at("work/plan.txt")),
        ] {
            symlink(target, desk.home.path().join(link)).unwrap();
        }
        fs::write(desk.home.path().join("work/empty"), "").unwrap();
        let large = fs::File::create(desk.home.path().join("work/large")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        let outside = "is outside";
        for (name, expected) in [
            ("work/plan.txt", "plan.txt"),
            ("work/../work/plan.txt", "plan.txt"),
            ("outside/in", "in"),
            ("listed/.hidden/x", "x"),
            ("outside/secret", outside),
            ("work/link", outside),
            ("work/folder/secret", outside),
            ("work/passwd", outside),
            ("work/../outside/secret", outside),
            ("work/.hidden/x", "has a name, or is in a folder"),
            ("work/state/.auth_token", "holds the state"),
            ("work/token", "holds the state"),
            ("work", "is not a regular file"),
            ("work/missing", "cannot be read"),
            ("work/empty", "is empty"),
            ("work/large", "has 26214401 bytes"),
        ] {
            let outcome = desk.outcome(&desk.path(name));
            assert!(outcome.starts_with(expected), "{name}: {outcome}");
        }
        let passwd = desk.outcome(&json!("/etc/passwd").into());
        assert!(passwd.starts_with(outside), "{passwd}");
    }

    #[test]
    fn a_file_is_named_by_its_path_or_a_local_address() {
        let desk = Desk::new();
        let read = |given: Value| desk.outcome(&given.into());
        let path = desk.at("work/plan.txt");
        assert_eq!(read(json!(path)), "plan.txt");
        assert_eq!(read(json!(format!("file://{path}"))), "plan.txt");
        assert_eq!(read(json!(format!("workspace:{path}"))), "plan.txt");
        assert_eq!(
            read(json!({ "uri": format!("file://{path}"), "name": "The\nplan" })),
            "Theplan"
        );
        for odd in [
            json!("plan.txt"),
            json!("~/plan.txt"),
            json!("https://x.example/plan.txt"),
            json!("platform-pending:w/f"),
            json!(""),
            json!(7),
            json!({ "name": "x" }),
            json!(null),
        ] {
            let outcome = read(odd.clone());
            assert_eq!(outcome, "is not the absolute path of a file", "{odd}");
        }
    }

    #[test]
    fn without_a_working_directory_that_counts_only_listed_folders_do() {
        let mut desk = Desk::new();
        desk.attaching.roots.current = None;
        assert!(desk.outcome(&desk.path("work/plan.txt")).starts_with("is outside"));
        assert_eq!(desk.outcome(&desk.path("listed/.hidden/x")), "x");
    }

    #[tokio::test]
    async fn all_files_are_copied_or_none() {
        let desk = Desk::new();
        let mut work = notify();
        let both = vec![desk.path("work/plan.txt"), desk.path("outside/secret")];
        let refused = desk.attaching.add_to(&mut work, both).await.unwrap_err();
        assert_eq!(refused.code(), "ATTACHMENT_REFUSED");
        assert!(refused.to_string().contains("attachments[1] is outside"), "{refused}");
        assert!(refused.hint().contains("MOLECULE_ATTACH_ROOTS"));
        assert_eq!((work.parcel(), desk.spooled()), (None, 0));

        let many = vec![desk.path("work/plan.txt"); MOST + 1];
        assert_eq!(
            desk.attaching.add_to(&mut work, many).await.unwrap_err().code(),
            "INVALID_ARGUMENT"
        );
        desk.attaching.add_to(&mut work, Vec::new()).await.unwrap();
        assert_eq!((work.parcel(), desk.spooled()), (None, 0));

        let given = vec![desk.path("work/plan.txt"); MOST];
        desk.attaching.add_to(&mut work, given).await.unwrap();
        assert_eq!((work.parcel().unwrap().files.len(), desk.spooled()), (MOST, 1));
    }

    #[tokio::test]
    async fn a_message_to_a_peer_carries_no_files() {
        let desk = Desk::new();
        let mut work = Work::ReplyToPeer {
            target: crate::types::PeerId::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap(),
            text: "t".to_owned(),
            in_reply_to: "m".to_owned(),
            delegation_id: None,
            context_id: None,
        };
        let given = vec![desk.path("work/plan.txt")];
        let refused = desk.attaching.add_to(&mut work, given).await.unwrap_err();
        assert_eq!(refused.code(), "NOT_SUPPORTED_BY_PLATFORM");
        desk.attaching.add_to(&mut work, Vec::new()).await.unwrap();
        assert_eq!(desk.spooled(), 0);
    }
}
