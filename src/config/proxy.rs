//! How platforms are reached: further certificate authorities, and the proxy that the configuration file names. The usual
//! variables of a proxy come first; those the HTTP library reads itself.

use std::path::PathBuf;

use super::problem::Problem;
use super::reader::Reader;
use super::{check, settings};

const PROXY: &str = "HTTPS_PROXY";
const BYPASS: &str = "NO_PROXY";

/// What stands between this program and a platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// `MOLECULE_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// The proxy of the configuration file.
    pub proxy: Option<Proxy>,
}

impl Route {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            ca_file: check::ca_file(reader),
            proxy: Proxy::read(reader),
        }
    }
}

/// A way to the platform that leads through another computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its address.
    pub address: String,
    /// Hosts that are asked without it, as `NO_PROXY` has them.
    pub bypass: String,
}

impl Proxy {
    /// What the file says, unless a variable of the same meaning is set.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.filed_entry(settings::named(PROXY))?;
        let address = reader.value(PROXY)?;
        let mut refuse = |what: &str, remedy: &str| {
            reader.problem(Problem::wrong(PROXY, what, remedy));
            None
        };
        let remedy = "write it as http://proxy.example.com:3128";
        match url::Url::parse(&address) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                refuse("must begin with http:// or https://", remedy)
            }
            Ok(url) if url.password().is_some() => refuse(
                "holds a password, and no credential is kept in this file",
                "leave it out here and set HTTPS_PROXY in the environment",
            ),
            Ok(_) => Some(Self {
                address,
                bypass: reader.parts(BYPASS, &[',']).join(","),
            }),
            Err(_) => refuse("is not an address", remedy),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::file::Filed;
    use super::*;

    fn read(text: &str, var: &dyn Fn(&str) -> Option<OsString>) -> (Option<Proxy>, Vec<Problem>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("molecule.toml"), text).unwrap();
        let mut reader = Reader::new(var);
        reader.filed = Filed::in_folder(dir.path(), None);
        (Proxy::read(&mut reader), reader.finish().0)
    }

    #[test]
    fn the_file_names_a_proxy_unless_a_variable_does() {
        let text = "proxy = \"http://p.example:3128\"\nno_proxy = [\"a.example\", \".b.example\"]\n";
        let proxy = read(text, &|_| None).0.unwrap();
        assert_eq!(proxy.address, "http://p.example:3128");
        assert_eq!(proxy.bypass, "a.example,.b.example");
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "all_proxy"] {
            let var = |asked: &str| (asked == name).then(|| "http://other:1".into());
            assert_eq!(read(text, &var), (None, Vec::new()), "{name}");
        }
        assert_eq!(read("", &|_| Some("http://other:1".into())), (None, Vec::new()));
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_and_a_password_never_kept() {
        for (address, what) in [
            ("http://user:tok-secret@p.example", "holds a password"),
            ("socks5://p.example", "must begin with"),
            ("p.example", "is not an address"),
        ] {
            let problem = &read(&format!("proxy = \"{address}\""), &|_| None).1[0];
            assert_eq!(problem.setting, "proxy in molecule.toml");
            assert!(problem.what.contains(what), "{problem:?}");
            assert!(!format!("{problem:?}").contains("tok-secret"));
        }
    }
}
