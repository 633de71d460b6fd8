//! What is in a file: pages that images of it share until one of them is written to, and none where
//! there are only zeros, so that a segment of the size that is used in production costs what was
//! written to it.

use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// The bytes of a file. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// `None` for zeros. What a page holds behind the end of the file is zero.
    pages: Vec<Option<Arc<Page>>>,
    len: usize,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes the file longer, with zeros, if it is shorter.
    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.len {
            self.pages.resize(len.div_ceil(PAGE_BYTES), None);
            self.len = len;
        }
    }

    /// Cuts off what is behind `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len {
            let end = len.next_multiple_of(PAGE_BYTES).min(self.len);
            self.put_zeros(len, end - len);
            self.pages.truncate(len.div_ceil(PAGE_BYTES));
            self.len = len;
        }
    }

    /// Writes `bytes` at `offset`, making the file as long as that takes.
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.grow(offset + bytes.len());
        self.edit(offset..offset + bytes.len(), |done, part| {
            part.copy_from_slice(&bytes[done..done + part.len()]);
        });
    }

    /// Writes zeros.
    pub(crate) fn put_zeros(&mut self, offset: usize, len: usize) {
        let end = offset + len;
        self.grow(end);
        for index in offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            let start = index * PAGE_BYTES;
            let part = offset.max(start) - start..PAGE_BYTES.min(end - start);
            let page = &mut self.pages[index];
            if part.len() == PAGE_BYTES {
                *page = None;
            } else if let Some(page) = page {
                Arc::make_mut(page)[part].fill(0);
            }
        }
    }

    /// Hands out the bytes of a range inside the file, page by page, each part with how far into
    /// the range it begins.
    pub(crate) fn edit(
        &mut self,
        range: std::ops::Range<usize>,
        mut change: impl FnMut(usize, &mut [u8]),
    ) {
        let mut at = range.start;
        while at < range.end {
            let (page, start) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let end = PAGE_BYTES.min(start + range.end - at);
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            change(at - range.start, &mut Arc::make_mut(page)[start..end]);
            at += end - start;
        }
    }

    /// Fills `buffer` from `offset`, and returns how much there was before the end of the file.
    pub(crate) fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let start = offset.min(self.len);
        let len = buffer.len().min(self.len - start);
        let mut done = 0;
        while done < len {
            let at = start + done;
            let within = at % PAGE_BYTES;
            let part = (PAGE_BYTES - within).min(len - done);
            let target = &mut buffer[done..done + part];
            match &self.pages[at / PAGE_BYTES] {
                Some(page) => target.copy_from_slice(&page[within..within + part]),
                None => target.fill(0),
            }
            done += part;
        }
        len
    }

    /// The bytes of a range, if the file reaches so far.
    pub(crate) fn get(&self, offset: usize, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len.min(self.len)];
        (self.read(offset, &mut bytes) == len).then_some(bytes)
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.get(0, self.len).unwrap_or_default()
    }

    /// Bytes up to the last one that is not zero.
    pub(crate) fn used_len(&self) -> usize {
        let used = self.pages.iter().enumerate().rev().find_map(|(index, page)| {
            let last = page.as_ref()?.iter().rposition(|&byte| byte != 0)?;
            Some(index * PAGE_BYTES + last + 1)
        });
        used.unwrap_or(0)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.grow(bytes.len());
        for (page, bytes) in content.pages.iter_mut().zip(bytes.chunks(PAGE_BYTES)) {
            if bytes.iter().any(|&byte| byte != 0) {
                let mut whole = [0; PAGE_BYTES];
                whole[..bytes.len()].copy_from_slice(bytes);
                *page = Some(Arc::new(whole));
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::simulated::Chance;

    /// What a plain vector would hold.
    fn put(model: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        model.resize(model.len().max(offset + bytes.len()), 0);
        model[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn it_is_a_vector_of_bytes_whatever_is_done_to_it() {
        for seed in 0..200 {
            let mut chance = Chance::new(seed);
            let (mut content, mut model) = (Content::default(), Vec::new());
            let earlier = content.clone();
            for _ in 0..40 {
                let (offset, len) = (chance.below(20_000), chance.below(9_000));
                match chance.below(5) {
                    0 => {
                        content.truncate(offset);
                        model.truncate(offset);
                    }
                    1 => {
                        content.put_zeros(offset, len);
                        put(&mut model, offset, &vec![0; len]);
                    }
                    2 => {
                        content.grow(offset);
                        model.resize(model.len().max(offset), 0);
                    }
                    _ => {
                        let mut bytes = vec![0; len];
                        chance.fill(&mut bytes);
                        content.put(offset, &bytes);
                        put(&mut model, offset, &bytes);
                    }
                }
                assert_eq!(content.to_vec(), model, "seed {seed}");
                assert_eq!(
                    content.get(offset, len),
                    model.get(offset..offset + len).map(Vec::from)
                );
                let used = model.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                assert_eq!(content.used_len(), used, "seed {seed}");
                assert_eq!(Content::from(&*model).to_vec(), model, "seed {seed}");
            }
            assert_eq!(earlier.len(), 0, "a clone goes its own way");
        }
    }

    #[test]
    fn zeros_take_no_memory() {
        let mut content = Content::default();
        content.grow(64 << 20);
        content.put(5 << 20, &[1; 10_000]);
        content.put_zeros(100, 64 << 20);
        assert!(content.pages.iter().filter(|page| page.is_some()).count() <= 2);
        assert_eq!((content.len(), content.used_len()), ((64 << 20) + 100, 0));
    }
}
