//! One of a few, by its name.

/// The one of `all` whose name is `name`. The error says which names there are.
///
/// # Errors
/// That text, if none has it.
pub fn by_name<T: Copy>(all: &[T], name_of: fn(T) -> &'static str, name: &str) -> Result<T, String> {
    let names = all.iter().map(|&known| name_of(known));
    let place = names.clone().position(|known| known == name);
    place.map(|place| all[place]).ok_or_else(|| format!("one of {}", names.collect::<Vec<_>>().join(", ")))
}
