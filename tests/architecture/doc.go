// SPDX-License-Identifier: Apache-2.0

// Package architecture holds the repository to its own layout: which room may import which, that every package says
// what it is for, and a few habits that keep the code readable.
//
// It reads source as text and runs nothing. It must not import any package of Fairlead.
package architecture
