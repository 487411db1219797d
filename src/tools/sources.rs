//! Which workspace of this process knows which peers: what the platform listed for each of them last.

use std::collections::{BTreeSet, HashMap};

use crate::types::PeerId;

/// Peers, and by their place in the settings the workspaces that may talk to them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_peer: HashMap<PeerId, BTreeSet<usize>>,
}

impl Sources {
    /// The platform listed these peers, and no others, for a workspace.
    pub(super) fn learn<'a>(&mut self, workspace: usize, peers: impl Iterator<Item = &'a str>) {
        self.by_peer.retain(|_, workspaces| {
            workspaces.remove(&workspace);
            !workspaces.is_empty()
        });
        for peer in peers.filter_map(|id| PeerId::parse(id).ok()) {
            self.by_peer.entry(peer).or_default().insert(workspace);
        }
    }

    /// The workspaces that know a peer, as far as lists were read.
    pub(super) fn of(&self, peer: &PeerId) -> Vec<usize> {
        self.by_peer.get(peer).into_iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_list_of_a_workspace_counts() {
        let peer = |n: u8| format!("5f0c1d2e-0000-4000-8000-00000000000{n}");
        let known = |sources: &Sources, n: u8| sources.of(&PeerId::parse(&peer(n)).unwrap());
        let mut sources = Sources::default();
        let list = |ids: &[u8]| ids.iter().map(|n| peer(*n)).collect::<Vec<_>>();
        for (workspace, ids) in [(0, list(&[1, 2])), (1, list(&[2, 3])), (0, list(&[2]))] {
            sources.learn(workspace, ids.iter().map(String::as_str));
        }
        assert!(known(&sources, 1).is_empty());
        assert_eq!(known(&sources, 2), [0, 1]);
        assert_eq!(known(&sources, 3), [1]);
        sources.learn(1, ["no uuid"].into_iter());
        assert!(known(&sources, 3).is_empty());
    }
}
