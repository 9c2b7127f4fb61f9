//! Embedding: events of the libraries, and the store on its own.

mod events;
mod store_alone;
