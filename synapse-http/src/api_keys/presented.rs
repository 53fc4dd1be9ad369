//! Which key a request shows.

use http::{HeaderMap, header};
use synapse_core::Error;

use super::{refusal, secret::is_well_formed};

/// The key that a request shows: `authorization: Bearer sk-syn-…`, once. It is well formed; whose it is, and whether it is
/// anybody's, is not looked at.
///
/// # Errors
/// `missing_api_key` where there is none, `invalid_api_key` where it cannot be one, however long it is.
pub fn presented(headers: &HeaderMap) -> Result<&str, Error> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = given.next() else {
        return Err(refusal::missing());
    };
    if given.next().is_some() {
        return Err(refusal::invalid());
    }
    let Ok(text) = first.to_str() else {
        return Err(refusal::invalid());
    };
    let (scheme, key) = text.split_once(' ').unwrap_or((text, ""));
    let key = key.trim();
    match (scheme.eq_ignore_ascii_case("bearer"), key) {
        (_, "") if scheme.is_empty() || scheme.eq_ignore_ascii_case("bearer") => Err(refusal::missing()),
        (true, key) if is_well_formed(key) => Ok(key),
        _ => Err(refusal::invalid()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(values: &[&[u8]]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        presented(&headers)
            .map(str::to_owned)
            .map_err(|error| error.code().to_owned())
    }

    #[test]
    fn a_key_is_read_in_one_way() {
        let key = format!("sk-syn-{}", "0a".repeat(32));
        for good in [format!("Bearer {key}"), format!("bearer   {key} ")] {
            assert_eq!(shown(&[good.as_bytes()]), Ok(key.clone()), "{good}");
        }
        for none in ["", "Bearer", "Bearer ", "bearer    "] {
            assert_eq!(
                shown(&[none.as_bytes()]),
                Err("missing_api_key".into()),
                "{none:?}"
            );
        }
        assert_eq!(shown(&[]), Err("missing_api_key".into()));
        let long = format!("Bearer {key}0");
        let upper = format!("Bearer sk-syn-{}", "0A".repeat(32));
        for bad in [
            "Basic YTpi",
            "Bearer sk-syn-",
            "Bearer sk-proj-abc",
            &long,
            &upper,
            &format!("Bearer\t{key}"),
            &format!("Bearer {key} {key}"),
            &key,
        ] {
            assert_eq!(shown(&[bad.as_bytes()]), Err("invalid_api_key".into()), "{bad}");
        }
        let twice = format!("Bearer {key}");
        assert_eq!(
            shown(&[twice.as_bytes(), twice.as_bytes()]),
            Err("invalid_api_key".into())
        );
        assert_eq!(shown(&[b"Bearer \xff"]), Err("invalid_api_key".into()));
        let mut huge = b"Bearer sk-syn-".to_vec();
        huge.resize(1 << 20, b'a');
        assert_eq!(shown(&[&huge]), Err("invalid_api_key".into()));
    }
}
