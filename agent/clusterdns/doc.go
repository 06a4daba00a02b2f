// SPDX-License-Identifier: Apache-2.0

// Package clusterdns answers laptops' questions about names of the cluster as a pod of their namespace would have them
// answered: it applies the search rules, asks the cluster's DNS, and answers under the name that was asked.
//
// names.go and answers.go are pure: which names a question stands for, and what an answer becomes for the laptop. The
// rest asks. It owns no socket of its own towards laptops, and never asks for a name outside of the cluster: such
// names do not exist for it.
package clusterdns
