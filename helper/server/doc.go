// SPDX-License-Identifier: Apache-2.0

// Package server answers the verbs of helper/api on the local socket, and owns the one session that the machine can
// have: whose it is, how far it has come, and that everything is put back when it ends, however it ends.
//
// It decides who may do what and in which order things happen. It must not touch the machine itself: packets are
// behind Machine (helper/tunnel), names behind helper/splitdns, and what callers say is checked by helper/api before
// it gets here.
package server
