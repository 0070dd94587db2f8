//! Source maps of two graphs made one: locations count the infos, so they are counted anew.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::proto;
use crate::wire::{Field, Value, bytes, fields, put_len, put_varint};

/// Field numbers of `pb.Locations` and `pb.Location`.
const LOCATIONS: u64 = 1;
const SOURCE_INDEX: u64 = 1;

/// The place, in another list of infos, of each info of a list.
pub(crate) struct Renumbering {
    places: Vec<usize>,
    /// Whether each is at its old place.
    is_same: bool,
}

/// Appends the infos `to` lacks.
pub(crate) fn add_infos(to: &mut proto::Source, infos: &[Vec<u8>]) -> Renumbering {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for (place, info) in to.infos.iter().enumerate() {
        places.entry(info.clone()).or_insert(place);
    }
    let place = |info: &Vec<u8>| {
        *places.entry(info.clone()).or_insert_with(|| {
            to.infos.push(info.clone());
            to.infos.len() - 1
        })
    };
    let places: Vec<_> = infos.iter().map(place).collect();
    Renumbering { is_same: places.iter().enumerate().all(|(old, new)| old == *new), places }
}

impl Renumbering {
    /// An encoded `Locations` that counts the other list; all but `sourceIndex` is carried along.
    pub(crate) fn apply(&self, locations: &[u8]) -> Result<Vec<u8>> {
        if self.is_same {
            return Ok(locations.to_vec());
        }
        self.renumber(locations).map_err(|reason| Error::malformed("source locations", reason))
    }

    fn renumber(&self, locations: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out: Vec<u8> = Vec::with_capacity(locations.len());
        for field in fields(locations, 0..locations.len()) {
            match field? {
                Field { number: LOCATIONS, value: Value::Len(range), .. } => {
                    let location = self.location(bytes(locations, range))?;
                    put_len(&mut out, LOCATIONS, &location);
                }
                other => out.extend(bytes(locations, other.span)),
            }
        }
        Ok(out)
    }

    fn location(&self, location: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut old = 0;
        let mut rest: Vec<u8> = Vec::with_capacity(location.len());
        for field in fields(location, 0..location.len()) {
            match field? {
                Field { number: SOURCE_INDEX, value: Value::Varint(index), .. } => old = index,
                other => rest.extend(bytes(location, other.span)),
            }
        }
        let new = usize::try_from(old).ok().and_then(|old| self.places.get(old));
        let new = *new.ok_or("a location in a file that is not in the definition")?;
        let mut out = Vec::new();
        if new != 0 {
            put_varint(&mut out, SOURCE_INDEX, new as u64);
        }
        out.extend(rest);
        Ok(out)
    }
}
