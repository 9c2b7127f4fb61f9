//! Workspaces and the daily work of an artist: creating, changing, getting, comparing and restoring assets; error messages.

mod bad_input;
mod daily;
mod damaged_state;
mod divergence;
mod folders;
mod folding_disks;
mod history;
mod inputs;
mod journey;
mod linked_folders;
mod messages;
mod own_files;
mod rename;
mod shared_folders;
mod signals;
mod unreadable_assets;
mod untracked;
mod ways_out;
mod without_workspace;
