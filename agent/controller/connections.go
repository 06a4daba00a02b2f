// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

const (
	// lookEvery is how often each Connection is looked at for signs of life.
	lookEvery = 30 * time.Second
	// lookSoon is how often that is while a new session's first handshake and packet are awaited. They usually follow
	// within milliseconds, and people look right after they connected.
	lookSoon = time.Second
)

// Peers is the data plane and cluster DNS, as the controller uses them. Calls for one name never overlap.
type Peers interface {
	// SetPeer lets a laptop in. Called again for the same name it changes only what differs, and keeps open
	// connections where key and addresses are the same.
	SetPeer(peer Peer) error
	// RemovePeer shuts a laptop out. A name that is not known is not an error.
	RemovePeer(name string)
	// Activity says when a laptop was last heard. It is cheap.
	Activity(name string) Activity
}

// connectionReconciler makes the data plane and each Connection's status agree with its spec.
type connectionReconciler struct {
	client      client.Client
	peers       Peers
	identity    Identity
	forgetAfter time.Duration
	started     time.Time
	now         func() time.Time
	log         *slog.Logger
	facts       atomic.Pointer[Facts]

	mu     sync.Mutex // protects what follows
	ledger *ledger
	since  map[string]session
}

// session is what a Connection's key is and since when this gateway knows it.
type session struct {
	key   string
	since time.Time
}

// Reconcile answers one Connection.
func (r *connectionReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var connection v1alpha1.Connection
	if err := r.client.Get(ctx, request.NamespacedName, &connection); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(request.Name)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read connection: %w", err)
	}
	if connection.DeletionTimestamp != nil {
		r.forget(connection.Name)
		return reconcile.Result{}, nil
	}
	status, err := r.answer(&connection)
	if err != nil {
		return reconcile.Result{}, err
	}
	activity, since := r.peers.Activity(connection.Name), r.sessionOf(&connection).since
	sign := lastSign(status, activity, since)
	if forgettable(sign, r.started, r.now(), r.forgetAfter) {
		return reconcile.Result{}, r.expire(ctx, &connection, sign)
	}
	if !equality.Semantic.DeepEqual(status, connection.Status) {
		before := connection.DeepCopy()
		connection.Status = status
		if err := r.client.Status().Patch(ctx, &connection, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, fmt.Errorf("write status: %w", err)
		}
		if status.Phase != before.Status.Phase {
			r.log.Info("connection", "name", connection.Name, "phase", status.Phase, "message", status.Message)
		}
	}
	return reconcile.Result{RequeueAfter: nextLook(status, activity, r.now().Sub(since))}, nil
}

// nextLook is when to look at a Connection again whose session has an age.
func nextLook(status v1alpha1.ConnectionStatus, activity Activity, age time.Duration) time.Duration {
	heard := !activity.LastHandshake.IsZero() && activity.Carrier != ""
	if status.Phase == v1alpha1.ConnectionReady && !heard && age < lookEvery {
		return lookSoon
	}
	return lookEvery
}

// answer lets the laptop in or refuses it, and returns the status that says so.
func (r *connectionReconciler) answer(connection *v1alpha1.Connection) (v1alpha1.ConnectionStatus, error) {
	r.mu.Lock()
	peer, refusal := r.ledger.admit(connection.Name, connection.Spec, connection.Status)
	r.mu.Unlock()
	if refusal != nil {
		r.peers.RemovePeer(connection.Name)
		return refused(connection.Status, connection.Generation, r.identity, refusal), nil
	}
	if err := r.peers.SetPeer(peer); err != nil {
		return v1alpha1.ConnectionStatus{}, fmt.Errorf("let %s in: %w", connection.Name, err)
	}
	status := served(connection.Status, connection.Generation, peer, r.identity, *r.facts.Load())
	return observe(status, r.peers.Activity(connection.Name), r.sessionOf(connection).since, r.now()), nil
}

// sessionOf returns since when the Connection has its key: since it was made, or since this gateway saw another key
// in it.
func (r *connectionReconciler) sessionOf(connection *v1alpha1.Connection) session {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.since[connection.Name]
	switch {
	case !ok:
		known = session{key: connection.Spec.PublicKey, since: connection.CreationTimestamp.Time}
		if connection.Status.ObservedGeneration != connection.Generation {
			known.since = r.now() // changed while no gateway was there, or new
		}
	case known.key != connection.Spec.PublicKey:
		known = session{key: connection.Spec.PublicKey, since: r.now()}
	}
	r.since[connection.Name] = known
	return known
}

// forget shuts out a laptop whose Connection is gone.
func (r *connectionReconciler) forget(name string) {
	r.mu.Lock()
	r.ledger.release(name)
	delete(r.since, name)
	r.mu.Unlock()
	r.peers.RemovePeer(name)
}

// expire deletes a Connection whose laptop has been silent for too long, unless it changed meanwhile.
func (r *connectionReconciler) expire(ctx context.Context, connection *v1alpha1.Connection, sign time.Time) error {
	unchanged := client.Preconditions{UID: &connection.UID, ResourceVersion: &connection.ResourceVersion}
	if err := r.client.Delete(ctx, connection, unchanged); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete connection that was silent since %s: %w", sign.Format(time.RFC3339), err)
	}
	r.log.Info("forgot a laptop that was silent", "name", connection.Name, "since", sign)
	return nil
}
