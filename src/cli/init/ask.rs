//! Asks a person at a terminal. Questions go to stderr, because stdout holds the result.

use std::io::{self, Write as _};

/// Someone who can be asked.
pub(super) trait Ask {
    /// One line, shown while it is typed.
    fn line(&mut self, question: &str) -> io::Result<String>;
    /// One line, hidden while it is typed.
    fn hidden(&mut self, question: &str) -> io::Result<String>;
    /// Says why a question comes again.
    fn tell(&mut self, text: &str);
}

/// The terminal this program was started from.
pub(super) struct Terminal;

impl Ask for Terminal {
    fn line(&mut self, question: &str) -> io::Result<String> {
        let mut errors = io::stderr();
        write!(errors, "{question}: ")?;
        errors.flush()?;
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }

    fn hidden(&mut self, question: &str) -> io::Result<String> {
        rpassword::prompt_password(format!("{question}: "))
    }

    fn tell(&mut self, text: &str) {
        // A terminal that takes no more text is noticed at the next question.
        let _ = writeln!(io::stderr(), "{text}");
    }
}
