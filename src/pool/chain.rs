//! Entries in numbered slots that hang in chains: all that is done to one of them takes the same short time,
//! however many there are. Pure.

/// The number of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// A chain of entries of one arena. An entry hangs in one chain at most, and who moves it knows in which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    first: Option<Id>,
    last: Option<Id>,
}

impl Chain {
    pub(super) fn first(self) -> Option<Id> {
        self.first
    }
}

#[derive(Debug)]
struct Node<N> {
    before: Option<Id>,
    after: Option<Id>,
    value: Option<N>,
}

/// The slots.
#[derive(Debug)]
pub(super) struct Arena<N> {
    nodes: Vec<Node<N>>,
    /// Vacant slots; also some that do not exist any more, or are taken again.
    vacant: Vec<Id>,
    len: usize,
}

impl<N> Default for Arena<N> {
    fn default() -> Self {
        Self { nodes: Vec::new(), vacant: Vec::new(), len: 0 }
    }
}

/// What is smaller is not worth being given back, in entries.
const SMALL: usize = 64;

impl<N> Arena<N> {
    /// Entries in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Entries that it has memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.nodes.capacity().max(self.vacant.capacity())
    }

    fn node(&mut self, id: Id) -> Option<&mut Node<N>> {
        self.nodes.get_mut(id.0 as usize)
    }

    pub(super) fn get(&self, id: Id) -> Option<&N> {
        self.nodes.get(id.0 as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut N> {
        self.node(id)?.value.as_mut()
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &N)> {
        (0_u32..).zip(&self.nodes).filter_map(|(id, node)| Some((Id(id), node.value.as_ref()?)))
    }

    /// A new entry, in no chain.
    pub(super) fn insert(&mut self, value: N) -> Id {
        self.len += 1;
        while let Some(id) = self.vacant.pop() {
            if let Some(node) = self.node(id).filter(|node| node.value.is_none()) {
                node.value = Some(value);
                return id;
            }
        }
        let id = Id(self.nodes.len() as u32); // memory ends long before
        self.nodes.push(Node { before: None, after: None, value: Some(value) });
        id
    }

    /// Takes out an entry that hangs in no chain.
    pub(super) fn remove(&mut self, id: Id) -> Option<N> {
        let value = self.node(id)?.value.take()?;
        self.len -= 1;
        self.vacant.push(id);
        while self.nodes.last().is_some_and(|node| node.value.is_none()) {
            self.nodes.pop();
        }
        if self.nodes.is_empty() {
            self.vacant.clear();
        }
        shrink(&mut self.nodes);
        shrink(&mut self.vacant);
        Some(value)
    }

    /// Hangs an entry that is in no chain to the end of this one.
    pub(super) fn push_back(&mut self, chain: &mut Chain, id: Id) {
        let last = chain.last.replace(id);
        if let Some(node) = self.node(id) {
            (node.before, node.after) = (last, None);
        }
        match last.and_then(|last| self.node(last)) {
            Some(node) => node.after = Some(id),
            None => chain.first = Some(id),
        }
    }

    /// Takes an entry out of the chain that it hangs in.
    pub(super) fn unlink(&mut self, chain: &mut Chain, id: Id) {
        let Some(node) = self.node(id) else { return };
        let (before, after) = (node.before.take(), node.after.take());
        match before.and_then(|before| self.node(before)) {
            Some(node) => node.after = after,
            None => chain.first = after,
        }
        match after.and_then(|after| self.node(after)) {
            Some(node) => node.before = before,
            None => chain.last = before,
        }
    }

    /// The entries of a chain, in its order.
    pub(super) fn chain(&self, chain: Chain) -> impl Iterator<Item = (Id, &N)> {
        let after = |id: &Id| self.nodes.get(id.0 as usize)?.after;
        std::iter::successors(chain.first, after).filter_map(|id| Some((id, self.get(id)?)))
    }
}

/// Gives memory back when three quarters of it are not used.
fn shrink<V>(list: &mut Vec<V>) {
    if list.capacity() > SMALL && list.len() < list.capacity() / 4 {
        list.shrink_to(list.len() * 2);
    }
}
