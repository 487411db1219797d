//! From path segments to a URL that means exactly those segments.

use url::Url;

use super::error::CallError;
use crate::types::BaseUrl;

/// The address of one route: every segment escaped, so that none can become two or none.
///
/// # Errors
/// [`CallError::NotSent`] for an empty segment, `.` and `..` (the URL library drops the dots silently, and the request
/// would reach another route) and for control characters (which it drops as well).
pub(crate) fn build(base: &BaseUrl, path: &[&str], query: &[(&'static str, String)]) -> Result<Url, CallError> {
    for segment in path {
        if segment.is_empty() || matches!(*segment, "." | "..") || segment.chars().any(char::is_control) {
            return Err(CallError::NotSent(
                "an id in the address of this call is empty, a dot segment or holds control characters; nothing was sent"
                    .to_owned(),
            ));
        }
    }
    let mut url = base.url().clone();
    url.path_segments_mut()
        .map_err(|()| CallError::NotSent("the platform's address cannot carry a path".to_owned()))?
        .pop_if_empty()
        .extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PlainHttp;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text, PlainHttp::Nearby).unwrap()
    }

    #[test]
    fn every_segment_stays_one_segment() {
        for (segment, escaped) in [
            ("plain-1", "plain-1"),
            ("a/b", "a%2Fb"),
            ("a\\b", "a%5Cb"),
            ("a?b#c", "a%3Fb%23c"),
            ("%2e%2e", "%252e%252e"),
            ("..%2f", "..%252f"),
            ("...", "..."),
            (" ", "%20"),
            ("ä;=", "%C3%A4;="),
        ] {
            let url = build(&base("http://localhost:1"), &["workspaces", segment, "activity"], &[]).unwrap();
            assert_eq!(
                url.as_str(),
                format!("http://localhost:1/workspaces/{escaped}/activity"),
                "{segment:?}"
            );
        }
    }

    #[test]
    fn a_segment_that_would_change_the_route_is_refused() {
        for segment in ["", ".", "..", "a\nb", "\t", "\u{0}", ".\r.", "\u{7f}"] {
            let refused = build(&base("http://localhost:1"), &["workspaces", segment], &[]);
            assert!(matches!(refused, Err(CallError::NotSent(_))), "{segment:?}");
        }
    }

    #[test]
    fn a_path_prefix_of_the_platform_is_kept_and_queries_are_escaped() {
        let query = [("before_ts", "2026-05-01T10:00:00.000001+00:00".to_owned())];
        let url = build(&base("https://x.example/tenant/"), &["registry", "a", "peers"], &query).unwrap();
        assert_eq!(
            url.as_str(),
            "https://x.example/tenant/registry/a/peers?before_ts=2026-05-01T10%3A00%3A00.000001%2B00%3A00"
        );
    }
}
