// SPDX-License-Identifier: Apache-2.0

// Package restore remembers on disk what the helper changes on the machine, so that every change is undone: on
// disconnect, at the helper's next start after it was killed, and by the command restore.
//
// It owns the journal: a change is recorded before it is made, with the data that undoing it takes, and struck out
// after it was undone. One path serves both cases: an orderly end and recovery call the same Undo functions. Packages
// that change the machine define the kinds of their entries. This package must not know what the changes are.
package restore
