//! `MOLECULE_CA_FILE`: checked at the start, so that a wrong file is not found out at the first request.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificate bundles of whole systems are well below this.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Checks that the file can be read and holds at least one PEM certificate, and no broken one.
///
/// # Errors
/// The rule that the file breaks, without its path.
pub(super) fn check(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err("names a file that does not exist".to_owned()),
        Ok(entry) if !entry.is_file() => return Err("does not name a regular file".to_owned()),
        _ => {}
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("names a file that cannot be read ({})", error.kind()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("names a file larger than 16 MiB".to_owned());
    }
    let mut certificates = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        certificate.map_err(|_| "names a file with a broken PEM block".to_owned())?;
        certificates += 1;
    }
    if certificates == 0 {
        return Err("names a file that holds no PEM certificate".to_owned());
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A PEM block of the right form; what is in it is the business of the TLS library.
    pub(in crate::config) const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_readable_pem_certificates_pass() {
        let dir = tempfile::tempdir().unwrap();
        let key = PEM.replace("CERTIFICATE", "PRIVATE KEY");
        let cases = [
            ("one", PEM.to_owned(), None),
            ("two with text", format!("# root\n{PEM}\n{PEM}"), None),
            ("empty", String::new(), Some("no PEM certificate")),
            ("text", "hello".to_owned(), Some("no PEM certificate")),
            ("key", key, Some("no PEM certificate")),
            ("cut", PEM[..40].to_owned(), Some("broken PEM")),
            ("not base64", PEM.replace("MAMC", "M!!C"), Some("broken PEM")),
        ];
        for (name, content, expected) in cases {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            match (check(&path), expected) {
                (Ok(()), None) => {}
                (Err(rule), Some(expected)) => assert!(rule.contains(expected), "{name}: {rule}"),
                (outcome, _) => panic!("{name}: {outcome:?}"),
            }
        }
        assert!(
            check(&dir.path().join("missing"))
                .unwrap_err()
                .contains("does not exist")
        );
        assert!(check(dir.path()).unwrap_err().contains("regular file"));
    }
}
