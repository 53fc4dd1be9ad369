//! What somebody who mistyped a name may have meant.

/// The nearest of `candidates`, where one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A name of a megabyte is no slip of a finger, and the distance takes its length squared.
    if name.len() > 128 {
        return None;
    }
    let name = plain(name);
    let within = (name.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= within)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The nearest of dotted `keys`: one of the same section whose last part is near, or goes on where this one ends; one whose
/// last part is the same, or one that is near as a whole.
pub(super) fn nearest_key<'a>(key: &str, keys: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
    let in_section =
        |candidate: &&str| candidate.rsplit_once('.').map_or("", |(section, _)| section) == section;
    let siblings = keys.clone().filter(in_section);
    let sibling = nearest(key, siblings).filter(|sibling| {
        // A long section would make any of its options near.
        nearest(last, [last_part(sibling)]).is_some()
    });
    let longer = |candidate: &&str| plain(last_part(candidate)).starts_with(&format!("{}_", plain(last)));
    sibling
        .filter(|sibling| !longer(sibling))
        .or_else(|| keys.clone().filter(in_section).find(longer))
        .or_else(|| {
            let plain_last = plain(last);
            let mut same = keys
                .clone()
                .filter(|candidate| plain(last_part(candidate)) == plain_last);
            same.next().filter(|_| same.next().is_none())
        })
        .or_else(|| nearest(key, keys))
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

/// Case and the way words are joined are no difference.
fn plain(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
