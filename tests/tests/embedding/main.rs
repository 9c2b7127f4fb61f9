//! In programs of others: what a program that calls the libraries is told, and the store by itself.

mod events;
mod store_alone;
