// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// Kinds of work.
const (
	workConnect          = "connect"
	workDisconnect       = "disconnect"
	workNamespace        = "namespace"
	workIntercept        = "intercept"
	workLeave            = "leave"
	workGatewayInstall   = "gateway-install"
	workGatewayUpgrade   = "gateway-upgrade"
	workGatewayUninstall = "gateway-uninstall"
)

// desk knows what is under way, whoever began it, and shows it on the board. It is safe for concurrent use.
type desk struct {
	board *board

	mu   sync.Mutex
	jobs []localapi.Work // oldest first
}

// job is something under way.
type job struct {
	desk *desk
	id   string
}

// begin shows that something is under way, until it is ended. It can be cancelled by its ID if the call that ctx is for
// can.
func (d *desk) begin(ctx context.Context, what, title, target string) *job {
	w := localapi.Work{ID: localapi.CallOf(ctx), What: what, Title: title, Context: target, Began: time.Now().UTC()}
	w.Stoppable = w.ID != ""
	if !w.Stoppable {
		w.ID = rand.Text()
	}
	d.change(func() { d.jobs = append(slices.Clone(d.jobs), w) })
	return &job{desk: d, id: w.ID}
}

// step says what is going on.
func (j *job) step(text string) {
	j.desk.change(func() {
		i := slices.IndexFunc(j.desk.jobs, func(w localapi.Work) bool { return w.ID == j.id })
		if i < 0 || text == "" || j.desk.jobs[i].Step == text {
			return
		}
		j.desk.jobs = slices.Clone(j.desk.jobs)
		j.desk.jobs[i].Step = text
	})
}

func (j *job) end() {
	j.desk.change(func() {
		j.desk.jobs = slices.DeleteFunc(slices.Clone(j.desk.jobs), func(w localapi.Work) bool { return w.ID == j.id })
	})
}

func (d *desk) change(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do()
	jobs := d.jobs
	d.board.update(func(f *facts) { f.work = jobs })
}
