//! The planner by itself: whatever is asked for, partitions lie one behind the other, and the room is shared as it is said.

use exporter::disk::{ALIGNMENT, Placed, Unplaced, kinds, minimum_size, place};
use exporter::error::Kind;
use exporter::seed::Uuid;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::inputs::MIB;

/// Least size, how much larger it may be, weight.
type Asked = (u64, Option<u64>, u32);

fn request(&(least, further, weight): &Asked) -> Unplaced {
    Unplaced {
        kind: kinds::LINUX_GENERIC.into(),
        name: "part".to_owned(),
        id: Uuid([1; 16]).into(),
        attributes: 0,
        least,
        most: further.map(|further| least + further),
        weight,
    }
}

fn asked() -> impl Strategy<Value = Vec<Unplaced>> {
    let weight = prop_oneof![Just(0), Just(1000), 1..5000_u32];
    let one = (0..300 * MIB, option::of(0..500 * MIB), weight);
    vec(one, 1..12).prop_map(|all| all.iter().map(request).collect())
}

/// Mebibytes, as partitions have them: at least, and at most.
fn bounds(request: &Unplaced) -> (u64, u64) {
    let least = request.least.max(1).div_ceil(ALIGNMENT);
    (least, request.most.map_or(u64::MAX, |most| most / ALIGNMENT).max(least))
}

fn units(placed: &Placed) -> u64 {
    placed.size / ALIGNMENT
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn partitions_lie_behind_each_other_within_their_bounds(requests in asked(), more in 0..5000 * MIB) {
        let size = minimum_size(&requests) + more;
        let placed = place(&requests, size).unwrap();
        prop_assert_eq!(placed.len(), requests.len());
        let mut free = ALIGNMENT;
        for (request, placed) in requests.iter().zip(&placed) {
            prop_assert_eq!(placed.start, free);
            prop_assert!(placed.size.is_multiple_of(ALIGNMENT));
            let (least, most) = bounds(request);
            prop_assert!((least..=most).contains(&units(placed)));
            prop_assert!(request.weight > 0 || units(placed) == least);
            free = placed.end();
        }
        prop_assert!(free <= size - ALIGNMENT, "the backup of the table has its place");
        let room = (size - free) / ALIGNMENT - 1;
        let could_grow = |(request, placed): (&Unplaced, &Placed)| {
            request.weight > 0 && bounds(request).1 - units(placed) > requests.len() as u64
        };
        prop_assert!(room == 0 || !requests.iter().zip(&placed).any(could_grow), "{} left", room);
    }

    #[test]
    fn room_is_shared_by_weight(requests in asked(), more in 0..5000 * MIB) {
        let placed = place(&requests, minimum_size(&requests) + more).unwrap();
        // What division leaves, one of them has besides.
        let slack = requests.len() as u64 + 1;
        let free = requests.iter().zip(&placed).filter(|(request, placed)| {
            let (least, most) = bounds(request);
            request.weight > 0 && least + slack < units(placed) && units(placed) < most.saturating_sub(slack)
        });
        let shares: Vec<_> = free.map(|(request, placed)| (units(placed), u64::from(request.weight))).collect();
        for &(one, weight) in &shares {
            for &(other, other_weight) in &shares {
                let (low, high) = (one.saturating_sub(slack) * other_weight, (other + slack) * weight);
                prop_assert!(low <= high, "{:?}", shares);
            }
        }
    }

    #[test]
    fn the_least_disk_fits_and_one_byte_less_is_an_error_that_says_so(requests in asked(), less in 1..MIB) {
        let size = minimum_size(&requests);
        let placed = place(&requests, size).unwrap();
        let is_least = |(request, placed): (&Unplaced, &Placed)| units(placed) == bounds(request).0;
        prop_assert!(requests.iter().zip(&placed).all(is_least));
        let error = place(&requests, size - less).unwrap_err();
        prop_assert_eq!(error.kind(), &Kind::NoSpace { needed: size, available: size - less });
        prop_assert!(error.to_string().ends_with(&format!(": {less} bytes too few")), "{}", error);
    }
}

#[test]
fn a_partition_that_may_be_no_larger_leaves_its_share_to_the_others() {
    let sizes = |asked: &[Asked], room: u64| {
        let requests: Vec<_> = asked.iter().map(request).collect();
        let placed = place(&requests, (room + 2) * MIB).unwrap();
        placed.iter().map(units).collect::<Vec<_>>()
    };
    let capped = (10 * MIB, Some(90 * MIB), 1000);
    let open = (10 * MIB, None, 1000);
    assert_eq!(sizes(&[open, open], 1000), [500, 500]);
    assert_eq!(sizes(&[capped, open], 1000), [100, 900]);
    assert_eq!(sizes(&[capped, open, (700 * MIB, None, 1000)], 1000), [100, 200, 700]);
    assert_eq!(sizes(&[capped, capped], 1000), [100, 100]);
    assert_eq!(sizes(&[(10 * MIB, Some(0), 1000), (10 * MIB, None, 0)], 1000), [10, 10]);
    // Half a mebibyte less than a whole one is no whole one.
    assert_eq!(sizes(&[(MIB, Some(2 * MIB - 1), 1)], 1000), [2]);
}
