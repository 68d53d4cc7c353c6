//! Tables that outlive the engine that uses them: a simulated host keeps them over its process's stops.

use super::{Changes, Rows, Table, TableError, Tables, Visit};
use crate::number::{Mark, RecordNumber};
use std::cell::RefCell;
use std::rc::Rc;

/// A second hand on tables, on one thread.
#[derive(Debug, Default)]
pub struct SharedTables<T>(Rc<RefCell<T>>);

impl<T> Clone for SharedTables<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> SharedTables<T> {
    /// Shares these tables.
    pub fn new(tables: T) -> Self {
        Self(Rc::new(RefCell::new(tables)))
    }

    /// Looks at the tables, or changes them, between calls.
    pub fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        use_it(&mut self.0.borrow_mut())
    }
}

impl<T: Tables> Rows for SharedTables<T> {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool, TableError> {
        self.0.borrow().get(table, key, out)
    }

    fn scan(&self, table: Table, from: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), TableError> {
        self.0.borrow().scan(table, from, end, visit)
    }
}

impl<T: Tables> Tables for SharedTables<T> {
    fn apply(&mut self, changes: &dyn Changes, mark: Mark) -> Result<(), TableError> {
        self.0.borrow_mut().apply(changes, mark)
    }

    fn applied(&self) -> Mark {
        self.0.borrow().applied()
    }

    fn flush(&mut self) -> Result<(), TableError> {
        self.0.borrow_mut().flush()
    }

    fn start_flush(&mut self) -> Result<(), TableError> {
        self.0.borrow_mut().start_flush()
    }

    fn flushed_number(&mut self) -> Result<RecordNumber, TableError> {
        self.0.borrow_mut().flushed_number()
    }

    fn check_background_errors(&self) -> Result<(), TableError> {
        self.0.borrow().check_background_errors()
    }

    fn approximate_rows(&self, table: Table) -> Result<u64, TableError> {
        self.0.borrow().approximate_rows(table)
    }
}
