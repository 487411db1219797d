//! Where `serve` listens: on this computer alone.

use std::net::SocketAddr;

use super::problem::Problem;
use super::reader::Reader;

/// Reads a loopback address with a port: `127.0.0.1:9090`, `[::1]:9090` or `localhost:9090`.
///
/// # Errors
/// The rule that is broken.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err(
            "must be an address of this computer alone (127.0.0.1 or [::1]): what listens there asks nobody who he is",
        ),
        Err(_) => Err("must be an address and a port, as 127.0.0.1:9090"),
    }
}

/// `MOLECULE_HTTP_MCP`: whether MCP is served there, too.
pub(super) fn http_mcp(reader: &mut Reader<'_>) -> bool {
    reader.one_or_zero("MOLECULE_HTTP_MCP") == Some(true)
}

/// `MOLECULE_HTTP`.
pub(super) fn http(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    const NAME: &str = "MOLECULE_HTTP";
    let text = reader.value(NAME)?;
    loopback(&text)
        .map_err(|rule| reader.problem(Problem::wrong(NAME, rule, "mend it, or leave it out")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_computer_are_taken() {
        for (text, expected) in [
            ("127.0.0.1:9090", Some("127.0.0.1:9090")),
            ("127.3.2.1:0", Some("127.3.2.1:0")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:9090", Some("[::1]:9090")),
            ("0.0.0.0:9090", None),
            ("[::]:9090", None),
            ("192.0.2.1:9090", None),
            ("localhost", None),
            ("localhost:x", None),
            (":9090", None),
            ("9090", None),
            ("http://127.0.0.1:9090", None),
        ] {
            let address = loopback(text).ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        }
    }
}
