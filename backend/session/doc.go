// SPDX-License-Identifier: Apache-2.0

// Package session is the connection of this laptop to a cluster: the states it goes through, from looking at the
// cluster to putting everything back, and what is true of it at any moment.
//
// It owns the one session of a user, and alone translates between the helper's contract and the cluster's API types.
// It must not serve, print or store anything: faces do that, over the local API.
package session
