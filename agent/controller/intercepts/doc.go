// SPDX-License-Identifier: Apache-2.0

// Package intercepts answers Intercepts: it decides which of them can be, has sidecars put into the pods that they mean,
// tells the sidecars what to do, and says in each Intercept's status how far that has come.
//
// For each namespace with Intercepts there is one worker with watches of its own. It decides about all Intercepts of the
// namespace together, one decision at a time, from what the API's objects, the laptops and the sidecars say at that moment:
//
//	judge     which Intercepts hold, and which are refused, suspended or over      claims.go, conflicts.go
//	choose    the way that traffic is redirected                                   way.go
//	cover     which sidecar serves in each pod, and which pods need one            coverage.go
//	order     what each sidecar is to do                                           orders.go
//	point     which Services lead to sidecars: the unprivileged way                services.go
//	report    what the statuses say                                                report.go, podreport.go, notes.go, tally.go,
//	                                                                               ending.go, words.go
//
// These are functions of a world and of a little memory, which is of no importance when it is lost. namespace.go and
// effects.go gather the one and carry out what was decided; nothing waits for the API server there, so that a sidecar gets
// its orders even when the API server is away.
//
// The package owns the status of Intercepts, the annotation on Services, and sidecars in pods. It must not carry flows, and
// reaches sidecars and laptops only through Flows and Laptops.
package intercepts
