//! Buffers that belong to a worker and are lent to its sessions.

use std::cell::RefCell;

/// Bytes that are read at once.
const SCRATCH: usize = 64 << 10;
/// Spare buffers that a worker keeps, and the largest that it keeps.
const SPARE: usize = 64;
const MAX_SPARE: usize = 64 << 10;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    static SPARE_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the worker's reading buffer for the length of one poll.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH_BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => work(&mut buffer),
        // Never so: a poll does not poll another session. If it did, it would get a buffer of its own.
        Err(_) => work(&mut vec![0; SCRATCH]),
    })
}

/// Makes sure that `buffer` has memory before something is appended to it.
pub(super) fn lend(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0
        && let Some(spare) = SPARE_BUFFERS.with(|spares| spares.borrow_mut().pop())
    {
        *buffer = spare;
    }
}

/// Takes the memory of an empty buffer back.
pub(super) fn take_back(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > 0 {
        let buffer = std::mem::take(buffer);
        if buffer.capacity() <= MAX_SPARE {
            SPARE_BUFFERS.with(|spares| {
                let mut spares = spares.borrow_mut();
                if spares.len() < SPARE {
                    spares.push(buffer);
                }
            });
        }
    }
}
