//! What holds of the pure parts, whatever they are given: bytes, collections, batches, names, leases.

use quickcheck::quickcheck;
use quorate::codec::{self, Header, Malformed};
use quorate::lock::{Name, Ttl};
use quorate::space::{Fixed, Heap, List, Window};
use quorate::{Batch, ClusterId, NodeId, Space};
use std::collections::VecDeque;
use std::time::Duration;

const FITS: usize = 6;
type Lists<S> = <S as Space>::Items<u8, FITS>;
type Windows<S> = <S as Space>::Queue<u8, FITS>;

fn header(cluster: u64, from: u64, to: u64) -> Header {
    Header { cluster: ClusterId::new(cluster), from: NodeId::new(from), to: NodeId::new(to) }
}

fn sealed(header: Header, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    codec::seal(&mut frame, header, |frame| codec::Sink::put(frame, body)).expect("a vector is never full");
    frame
}

quickcheck! {
    fn what_is_sealed_opens_for_its_addressee_alone(cluster: u64, from: u64, to: u64, body: Vec<u8>) -> bool {
        let header = header(cluster, from, to);
        let frame = sealed(header, &body);
        let (foreign, other) = (ClusterId::new(!cluster), NodeId::new(!to));
        frame.len() == body.len() + codec::FRAME_OVERHEAD
            && codec::open(&frame, header.cluster, header.to) == Ok((header.from, &body[..]))
            && codec::open(&frame, foreign, header.to) == Err(Malformed::Cluster(header.cluster))
            && codec::open(&frame, header.cluster, other) == Err(Malformed::Addressee(header.to))
    }

    fn a_changed_byte_of_a_frame_is_noticed(body: Vec<u8>, at: usize, change: u8) -> bool {
        let header = header(1, 2, 3);
        let mut frame = sealed(header, &body);
        let at = at % frame.len();
        frame[at] ^= change.max(1);
        codec::open(&frame, header.cluster, header.to) == Err(Malformed::Checksum)
    }

    fn what_is_put_is_taken_and_nothing_else(number: u64, text: String, maybe: Option<u16>, rest: Vec<u8>) -> bool {
        let item = (number, text, maybe);
        let mut bytes = Vec::new();
        codec::put(&item, &mut bytes).expect("a vector is never full");
        let mut count = codec::Counter::default();
        codec::put(&item, &mut count).expect("it takes in anything");
        let all = [&bytes[..], &rest].concat();
        let mut input = &all[..];
        let taken = codec::take::<(u64, String, Option<u16>)>(&mut input);
        count.0 == bytes.len() && taken.as_ref() == Ok(&item) && input == rest
            && codec::take_all(&bytes) == Ok(item)
            && codec::take_all::<(u64, String, Option<u16>)>(&bytes[..bytes.len() - 1]).is_err()
    }

    fn a_batch_is_what_it_was_wherever_it_lies(items: Vec<u32>, stop: usize, rest: Vec<u8>) -> bool {
        let mut bytes = Vec::new();
        codec::put_batch(&Batch::of(&items), &mut bytes).expect("a vector is never full");
        bytes.extend(&rest);
        let mut input = &bytes[..];
        let encoded = codec::take_batch::<u32>(&mut input).expect("it was just written");
        let until_stopped = |batch: &Batch<'_, u32>| {
            let mut taken = Vec::new();
            let ended = batch.try_take(|item| {
                taken.push(item);
                if taken.len() > stop { Err(item) } else { Ok(()) }
            });
            (taken, ended)
        };
        let mut shown = Vec::new();
        encoded.for_each(|item| shown.push(*item));
        let lent = Batch::of(&items);
        input == rest && shown == items && encoded.len() == items.len() && encoded.is_empty() == items.is_empty()
            && until_stopped(&encoded) == until_stopped(&lent)
            && until_stopped(&lent).0 == items[..items.len().min(stop.saturating_add(1))]
    }

    fn a_list_is_a_vector_with_a_limit(steps: Vec<(u8, u8)>) -> bool {
        lists::<Fixed<1, 1>>(&steps) && lists::<Heap<1, 1>>(&steps)
    }

    fn a_window_is_a_queue_with_a_limit(steps: Vec<(u8, u8)>) -> bool {
        windows::<Fixed<1, 1>>(&steps) && windows::<Heap<1, 1>>(&steps)
    }

    fn a_name_is_its_bytes_unless_there_are_too_many(bytes: Vec<u8>, long: bool) -> bool {
        let bytes = if long { bytes.repeat(3) } else { bytes };
        let Some(name) = <Name>::new(&bytes) else { return bytes.len() > <Name>::LONGEST };
        let mut encoded = Vec::new();
        codec::put(&name, &mut encoded).expect("a vector is never full");
        bytes.len() <= <Name>::LONGEST && *name == bytes[..] && codec::take_all(&encoded) == Ok(name)
    }

    fn a_longer_name_is_malformed_wherever_it_comes_from(bytes: Vec<u8>) -> bool {
        let bytes = [&[7; <Name>::LONGEST][..], &bytes].concat();
        let mut encoded = Vec::new();
        codec::put(&bytes, &mut encoded).expect("a vector is never full");
        codec::take_all::<Name>(&encoded).is_ok() == (bytes.len() == <Name>::LONGEST)
    }

    fn a_lease_is_within_its_limits_wherever_it_comes_from(micros: u64, shift: u8) -> bool {
        let micros = micros >> (shift % 64);
        let within = (1_000..=86_400_000_000).contains(&micros);
        let ttl = Ttl::new(Duration::from_micros(micros));
        let mut encoded = Vec::new();
        codec::put(&micros, &mut encoded).expect("a vector is never full");
        ttl.is_some() == within && codec::take_all(&encoded).ok() == ttl
            && ttl.is_none_or(|ttl| ttl.duration() == Duration::from_micros(micros) && u64::from(ttl) == micros)
    }
}

/// A step: what is done, and with what; a place is as large as the item.
fn lists<S: Space>(steps: &[(u8, u8)]) -> bool {
    let (mut list, mut model) = (Lists::<S>::default(), Vec::new());
    steps.iter().all(|&(what, item)| {
        let (full, at) = (model.len() == FITS, usize::from(item) % (FITS + 2));
        let alike = match what % 8 {
            0..=2 => {
                model.extend((!full).then_some(item));
                list.push(item) == if full { Err(item) } else { Ok(()) }
            }
            3 | 4 => {
                if !full {
                    model.insert(at.min(model.len()), item);
                }
                list.insert(at, item) == if full { Err(item) } else { Ok(()) }
            }
            5 | 6 => list.remove(at) == (at < model.len()).then(|| model.remove(at)),
            _ => {
                list.clear();
                model.clear();
                true
            }
        };
        alike && list[..] == model && Lists::<S>::of(model.iter().copied())[..] == model
    })
}

fn windows<S: Space>(steps: &[(u8, u8)]) -> bool {
    let (mut window, mut model) = (Windows::<S>::default(), VecDeque::new());
    steps.iter().all(|&(what, item)| {
        let (full, at) = (model.len() == FITS, usize::from(item) % (FITS + 2));
        let alike = match what % 8 {
            0..=3 => {
                model.extend((!full).then_some(item));
                window.push_back(item) == if full { Err(item) } else { Ok(()) }
            }
            4 | 5 => window.pop_front() == model.pop_front(),
            6 => {
                window.truncate(at);
                model.truncate(at);
                true
            }
            _ => {
                window.get_mut(at).map(|found| *found = item) == model.get_mut(at).map(|found| *found = item)
            }
        };
        let joined = |(front, back): (&[u8], &[u8])| [front, back].concat();
        let inside =
            |to: usize| model.iter().skip(at).take(to.saturating_sub(at)).copied().collect::<Vec<_>>();
        alike
            && (window.len(), window.is_empty()) == (model.len(), model.is_empty())
            && window.get(at) == model.get(at)
            && model == joined(window.as_slices())
            && (0..FITS + 2).all(|to| joined(window.range(at, to)) == inside(to))
    })
}
