//! The credentials beyond the workspace's own token, and where each of them is valid.

use std::path::PathBuf;

use super::check::absolute;
use super::problem::Problem;
use super::reader::{Found, Reader};
use super::token::file;
use crate::types::{BaseUrl, PlainHttp, Secret};

/// The variables that name files with keys.
const KEY_FILES: [&str; 4] = [
    "MOLECULE_API_KEY_FILE",
    "MOLECULE_ORG_API_KEY_FILE",
    "CP_ADMIN_API_TOKEN_FILE",
    "CP_PROMOTE_PROD_API_TOKEN_FILE",
];
/// The control plane that is meant when nothing names one.
const CONTROL_PLANE: &str = "https://api.moleculesai.app";
/// The tenant that is meant in management mode when nothing names one.
const LOCAL_TENANT: &str = "http://localhost:8080";

/// Keys for managing a tenant and the control plane above it. Each is used by its own tools only.
#[derive(Clone, Debug)]
pub struct Access {
    /// `MOLECULE_API_URL`, else `MOLECULE_URL`, else `PLATFORM_URL`: where the keys below are valid.
    pub tenant: BaseUrl,
    /// `MOLECULE_API_KEY`, else `MOLECULE_API_TOKEN`: for the tools of the set `ops`.
    pub api_key: Option<Secret>,
    /// `MOLECULE_ORG_API_KEY`: full administrator of the tenant, for the set `management` alone.
    pub org_key: Option<Secret>,
    /// `MOLECULE_ORG_SLUG`, sent as `X-Molecule-Org-Slug` with the keys above.
    pub org_slug: Option<String>,
    /// `MOLECULE_CP_URL`, else `CP_API_URL`.
    pub control_plane: BaseUrl,
    /// `CP_ADMIN_API_TOKEN`: for the control plane alone.
    pub control_token: Option<Secret>,
    /// The files that hold those of these keys that come from files.
    pub key_files: Vec<PathBuf>,
    /// `CP_PROMOTE_PROD_API_TOKEN`: for rollouts in production, for which the token above is never used.
    pub promotion_token: Option<Secret>,
}

impl Access {
    /// Reads the keys of a workspace's daemon, whose platform is the tenant unless something else is named. `None` when
    /// a problem was found, or when there is no platform.
    pub(super) fn read(reader: &mut Reader<'_>, plain: PlainHttp, platform: Option<&BaseUrl>) -> Option<Self> {
        let named = address(reader, "MOLECULE_API_URL", plain);
        Self::with_tenant(reader, plain, named.or_else(|| platform.cloned()))
    }

    /// As [`Access::read`], without a workspace: every name of the tenant's address counts, and none is needed.
    pub(super) fn read_alone(reader: &mut Reader<'_>, plain: PlainHttp) -> Option<Self> {
        let before = reader.problems.len();
        let mut tenant = match reader.is_set("MOLECULE_API_URL") {
            true => address(reader, "MOLECULE_API_URL", plain),
            false => address(reader, "PLATFORM_URL", plain),
        };
        if tenant.is_none() && reader.problems.len() == before {
            reader.warn(format!(
                "Neither MOLECULE_API_URL nor PLATFORM_URL is set; the tenant is looked for at {LOCAL_TENANT}."
            ));
            tenant = BaseUrl::parse(LOCAL_TENANT, plain).ok();
        }
        Self::with_tenant(reader, plain, tenant)
    }

    fn with_tenant(reader: &mut Reader<'_>, plain: PlainHttp, tenant: Option<BaseUrl>) -> Option<Self> {
        let api_key = key(reader, "MOLECULE_API_KEY", "MOLECULE_API_KEY_FILE");
        let org_key = key(reader, "MOLECULE_ORG_API_KEY", "MOLECULE_ORG_API_KEY_FILE");
        let control_token = key(reader, "CP_ADMIN_API_TOKEN", "CP_ADMIN_API_TOKEN_FILE");
        let promotion_token = key(reader, "CP_PROMOTE_PROD_API_TOKEN", "CP_PROMOTE_PROD_API_TOKEN_FILE");
        let key_files = KEY_FILES.iter().filter_map(|name| reader.value(name));
        let key_files = key_files.map(|path| absolute(&path)).collect();
        let org_slug = slug(reader);
        let control_plane =
            address(reader, "MOLECULE_CP_URL", plain).or_else(|| BaseUrl::parse(CONTROL_PLANE, plain).ok());
        Some(Self {
            tenant: tenant?,
            api_key,
            org_key,
            org_slug,
            control_plane: control_plane?,
            control_token,
            promotion_token,
            key_files,
        })
    }
}

fn address(reader: &mut Reader<'_>, name: &'static str, plain: PlainHttp) -> Option<BaseUrl> {
    let Found { text, name } = reader.found(name)?;
    match BaseUrl::parse(&text, plain) {
        Ok(base) => {
            if base.is_clear_text() {
                reader.warn(format!(
                    "{name} uses plain http:// beyond this computer: keys cross the network in clear text."
                ));
            }
            Some(base)
        }
        Err(refused) => {
            if !reader.has_problem(name) {
                let remedy = "set it to an address such as https://tenant.example.com";
                reader.problem(Problem::wrong(name, refused.to_string(), remedy));
            }
            None
        }
    }
}

/// A key from its variable or, where that is not set, from the file that another one or the configuration file names.
fn key(reader: &mut Reader<'_>, name: &'static str, in_file: &'static str) -> Option<Secret> {
    let Some(Found { text, name }) = reader.found(name) else {
        return match reader.has_problem(name) {
            true => None,
            false => kept(reader, in_file),
        };
    };
    Secret::parse(&text)
        .map_err(|refused| {
            reader.problem(Problem::wrong(
                name,
                refused.to_string(),
                "paste the key as it was shown, or leave the variable out",
            ));
        })
        .ok()
}

fn kept(reader: &mut Reader<'_>, in_file: &'static str) -> Option<Secret> {
    let path = absolute(&reader.value(in_file)?);
    match file::read(&path) {
        Ok(read) => {
            if read.exposed {
                reader.warn(format!(
                    "The file of {in_file} can be read by other users of this computer; give it mode 0600."
                ));
            }
            Some(read.token)
        }
        Err(reason) => {
            reader.problem(Problem::wrong(in_file, reason.to_string(), reason.remedy()));
            None
        }
    }
}

fn slug(reader: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "MOLECULE_ORG_SLUG";
    let text = reader.value(NAME)?;
    if text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Some(text);
    }
    reader.problem(Problem::wrong(
        NAME,
        "must be 1 to 63 lower-case letters, digits or hyphens",
        "mend it, or leave it out",
    ));
    None
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(pairs: &[(&str, &str)], platform: Option<&str>) -> (Option<Access>, Vec<Problem>, Vec<String>) {
        let var = |name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let mut reader = Reader::new(&var);
        let plain = PlainHttp::Nearby;
        let platform = platform.map(|text| BaseUrl::parse(text, plain).unwrap());
        let access = match platform {
            Some(platform) => Access::read(&mut reader, plain, Some(&platform)),
            None => Access::read_alone(&mut reader, plain),
        };
        (access, reader.problems, reader.warnings)
    }

    #[test]
    fn a_key_may_be_in_a_file_unless_a_variable_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        std::fs::write(&path, "key-kept\n").unwrap();
        let path = path.to_str().unwrap();
        let named = ("MOLECULE_API_KEY_FILE", path);
        let (access, problems, warnings) = read(&[named], Some("https://t.example"));
        let access = access.unwrap();
        assert_eq!(access.api_key.unwrap().expose(), "key-kept");
        assert_eq!(access.key_files, [std::path::Path::new(path)]);
        assert!(problems.is_empty());
        #[cfg(unix)]
        assert!(warnings[0].contains("MOLECULE_API_KEY_FILE"), "{warnings:?}");
        let both = read(&[named, ("MOLECULE_API_TOKEN", "key-said")], Some("https://t.example"));
        assert_eq!(both.0.unwrap().api_key.unwrap().expose(), "key-said");
        let (_, problems, _) = read(&[("MOLECULE_ORG_API_KEY_FILE", "/nowhere")], Some("https://t.example"));
        assert_eq!(problems[0].setting, "MOLECULE_ORG_API_KEY_FILE");
        assert!(problems[0].what.contains("does not exist"));
    }

    #[test]
    fn the_first_name_that_is_set_wins() {
        let all = [
            ("MOLECULE_API_URL", "https://one.example"),
            ("MOLECULE_URL", "https://two.example"),
            ("PLATFORM_URL", "https://three.example"),
            ("MOLECULE_API_KEY", "key-one"),
            ("MOLECULE_API_TOKEN", "key-two"),
            ("MOLECULE_CP_URL", "https://cp.example"),
            ("CP_API_URL", "https://other-cp.example"),
        ];
        for (from, tenant) in [
            (0, "https://one.example"),
            (1, "https://two.example"),
            (2, "https://three.example"),
        ] {
            assert_eq!(read(&all[from..], None).0.unwrap().tenant.to_string(), tenant);
        }
        let first = read(&all, None).0.unwrap();
        assert_eq!(first.api_key.unwrap().expose(), "key-one");
        assert_eq!(first.control_plane.to_string(), "https://cp.example");
        let second = read(&[all[4], all[6]], None).0.unwrap();
        assert_eq!(second.api_key.unwrap().expose(), "key-two");
        assert_eq!(second.control_plane.to_string(), "https://other-cp.example");
    }

    #[test]
    fn a_daemons_own_platform_is_its_tenant_and_a_lonely_one_is_looked_for_at_home() {
        let (access, problems, warnings) = read(&[], Some("https://mine.example"));
        let access = access.unwrap();
        assert_eq!(access.tenant.to_string(), "https://mine.example");
        assert_eq!(access.control_plane.to_string(), CONTROL_PLANE);
        assert!(problems.is_empty() && warnings.is_empty());
        let (access, problems, warnings) = read(&[], None);
        assert_eq!(access.unwrap().tenant.to_string(), LOCAL_TENANT);
        assert!(problems.is_empty() && warnings.len() == 1);
    }

    #[test]
    fn everything_wrong_is_named_at_once_and_no_value_is_shown() {
        let (access, problems, _) = read(
            &[
                ("MOLECULE_API_URL", "not-SECRET-an-url"),
                ("MOLECULE_API_KEY", "SECRET with space"),
                ("MOLECULE_ORG_API_KEY", "SECRETé"),
                ("CP_ADMIN_API_TOKEN", "SECRET\u{1}"),
                ("CP_PROMOTE_PROD_API_TOKEN", "SECRET SECRET"),
                ("MOLECULE_ORG_SLUG", "SECRET_SLUG"),
                ("MOLECULE_CP_URL", "http://SECRET.example"),
            ],
            None,
        );
        assert!(access.is_none());
        let names: Vec<_> = problems.iter().map(|problem| problem.setting.as_str()).collect();
        assert_eq!(
            names,
            [
                "MOLECULE_API_URL",
                "MOLECULE_API_KEY",
                "MOLECULE_ORG_API_KEY",
                "CP_ADMIN_API_TOKEN",
                "CP_PROMOTE_PROD_API_TOKEN",
                "MOLECULE_ORG_SLUG",
                "MOLECULE_CP_URL"
            ]
        );
        assert!(!format!("{problems:?}").contains("SECRET"));
    }
}
