// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/intercept"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func (o *operations) Intercept(ctx context.Context, r localapi.InterceptRequest, progress func(string)) (localapi.Intercept, error) {
	began := time.Now()
	status := o.Status()
	r.Namespace = cmp.Or(r.Namespace, status.Namespace) // which may have been switched since the connection was made
	job := o.desk.begin(ctx, workIntercept, "Intercepting "+r.Workload, status.Context)
	defer job.end()
	made, err := o.intercepts.Create(ctx, r, func(step string) { job.step(step); progress(step) })
	o.log.Info("intercept", "workload", r.Workload, "name", made.Name, "took", time.Since(began).Round(time.Millisecond), "error", err)
	return made, err
}

// detachTimeout bounds leaving an intercept whose holder has gone.
const detachTimeout = 10 * time.Second

func (o *operations) Attend(ctx context.Context, id string, each func(localapi.Intercept)) string {
	var last localapi.Intercept
	for {
		now, ok, ended, changed := o.intercepts.Get(id)
		if !ok {
			return cmp.Or(ended, "it is no more")
		}
		if worthTelling(last, now) {
			last = now
			each(now)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachTimeout)
			defer cancel()
			if _, err := o.intercepts.Leave(limited, id); err != nil {
				o.log.Info("intercept whose program has gone could not be left in order", "error", err)
			}
			return "its program has gone"
		}
	}
}

// worthTelling reports whether more has changed than counts.
func worthTelling(last, now localapi.Intercept) bool {
	return last.Phase != now.Phase || last.Message != now.Message || !slices.Equal(last.Ports, now.Ports) || !slices.Equal(last.Notes, now.Notes)
}

func (o *operations) Intercepts(ctx context.Context, r localapi.InterceptsRequest) (localapi.Intercepts, error) {
	access, err := open(o.here(r.Target))
	if err != nil {
		return localapi.Intercepts{}, err
	}
	defer access.Close()
	answer := localapi.Intercepts{Context: access.Context(), Namespace: access.Namespace(), Intercepts: []localapi.Intercept{}}
	if r.AllNamespaces {
		answer.Namespace = ""
	}
	user := ""
	if r.Mine {
		if user, err = access.Identity(ctx); err != nil {
			return answer, err
		}
	}
	found, err := access.Intercepts(ctx, answer.Namespace, "")
	for i := range found {
		if !r.Mine || found[i].Spec.User == user {
			answer.Intercepts = append(answer.Intercepts, o.intercepts.Describe(&found[i]))
		}
	}
	return answer, err
}

func (o *operations) Environment(ctx context.Context, r localapi.EnvironmentRequest) (localapi.Environment, error) {
	access, err := open(o.here(r.Target))
	if err != nil {
		return localapi.Environment{}, err
	}
	defer access.Close()
	found, err := access.FindWorkload(ctx, access.Namespace(), r.Workload)
	if err != nil {
		return localapi.Environment{}, err
	}
	resolved, err := environment.Resolve(ctx, access, found, r.Container)
	if err != nil {
		return localapi.Environment{}, err
	}
	if !r.Secrets {
		for i := range resolved.Variables {
			if resolved.Variables[i].Secret {
				resolved.Variables[i].Value = ""
			}
		}
	}
	return localapi.Environment{
		Context: access.Context(), Namespace: found.Namespace,
		Workload:    session.InterceptWorkload{Kind: found.Kind, Name: found.Name, Container: resolved.Container},
		Environment: resolved,
	}, nil
}

func (o *operations) Leave(ctx context.Context, r localapi.LeaveRequest) (localapi.Left, error) {
	if r.Owner != "" {
		return o.leaveOthers(ctx, r)
	}
	mine := o.manager.Status().Intercepts
	chosen, err := chooseIntercepts(mine, r)
	elsewhere := errors.Is(err, problem.New(problem.NotFound, "", "")) && len(r.Names) > 0
	if elsewhere || r.All && len(chosen) == 0 { // of another laptop of this user, or of one that was lost
		if left, otherErr := o.leaveOthers(ctx, r); otherErr == nil || !errors.Is(otherErr, problem.New(problem.NotFound, "", "")) {
			return left, otherErr
		}
	}
	if err != nil {
		return localapi.Left{}, err
	}
	return o.leaveEach(ctx, chosen, func(i localapi.Intercept) ([]string, error) { return o.intercepts.Leave(ctx, i.ID) })
}

// leaveOthers leaves intercepts that are not of this laptop: of another laptop of this user, or of another user.
func (o *operations) leaveOthers(ctx context.Context, r localapi.LeaveRequest) (localapi.Left, error) {
	access, err := open(o.here(r.Target))
	if err != nil {
		return localapi.Left{}, err
	}
	defer access.Close()
	owner := r.Owner
	if owner == "" {
		if owner, err = access.Identity(ctx); err != nil {
			return localapi.Left{}, err
		}
	}
	found, err := access.Intercepts(ctx, access.Namespace(), "")
	if err != nil {
		return localapi.Left{}, err
	}
	objects := map[string]int{}
	var theirs []localapi.Intercept
	for i := range found {
		if found[i].Spec.User == owner {
			objects[string(found[i].UID)] = i
			theirs = append(theirs, intercept.Describe(&found[i]))
		}
	}
	chosen, err := chooseIntercepts(theirs, r)
	if err != nil {
		return localapi.Left{}, err
	}
	return o.leaveEach(ctx, chosen, func(i localapi.Intercept) ([]string, error) {
		return intercept.LeaveObject(ctx, access, &found[objects[i.ID]], nil)
	})
}

// chooseIntercepts finds what a request to leave names.
func chooseIntercepts(there []localapi.Intercept, r localapi.LeaveRequest) ([]localapi.Intercept, error) {
	whose := "this laptop"
	if r.Owner != "" {
		whose = r.Owner
	}
	var names []string
	for _, i := range there {
		names = append(names, i.Namespace+"/"+i.Name)
	}
	switch {
	case r.All:
		return there, nil
	case len(r.Names) == 0 && len(there) == 1 && r.Owner == "":
		return there, nil
	case len(r.Names) == 0 && len(there) == 0:
		return nil, problem.New(problem.NotFound, "'fairlead intercepts -A' shows who intercepts what.", "%s intercepts nothing", whose)
	case len(r.Names) == 0:
		p := problem.New(problem.Usage, "Name the ones to leave, or leave all with --all.", "%s has several intercepts", whose)
		if r.Owner != "" {
			p = problem.New(problem.Usage, "Name the ones to leave, or leave all with --all.", "it is not said which intercepts of %s to leave", whose)
		}
		p.Details = names
		return nil, p
	}
	var chosen []localapi.Intercept
	for _, name := range r.Names {
		some := slices.DeleteFunc(slices.Clone(there), func(i localapi.Intercept) bool { return !isCalled(i, name, r.Namespace) })
		if len(some) == 0 {
			p := problem.New(problem.NotFound, "'fairlead intercepts -A' shows who intercepts what.", "%s has no intercept %q", whose, name)
			p.Details = names
			return nil, p
		}
		for _, i := range some {
			if !slices.ContainsFunc(chosen, func(c localapi.Intercept) bool { return c.ID == i.ID }) {
				chosen = append(chosen, i)
			}
		}
	}
	return chosen, nil
}

// isCalled reports whether an intercept goes by a name: its own, or that of its workload, with or without the kind.
func isCalled(i localapi.Intercept, name, namespace string) bool {
	if namespace != "" && i.Namespace != namespace {
		return false
	}
	if name == i.Name || name == i.Namespace+"/"+i.Name || name == i.Workload.Name || name == i.ID {
		return true
	}
	kind, workload, ok := strings.Cut(name, "/")
	return ok && workload == i.Workload.Name && cluster.IsKind(kind, i.Workload.Kind)
}

// leaveEach leaves several, which is shown as work.
func (o *operations) leaveEach(ctx context.Context, chosen []localapi.Intercept, leave func(localapi.Intercept) ([]string, error)) (localapi.Left, error) {
	if len(chosen) > 0 {
		var names []string
		for _, i := range chosen {
			names = append(names, i.Namespace+"/"+i.Workload.Name)
		}
		defer o.desk.begin(ctx, workLeave, "Leaving "+strings.Join(names, ", "), o.Status().Context).end()
	}
	return leaveEach(chosen, leave)
}

// leaveEach leaves several at the same time. One that can't be left does not keep the others.
func leaveEach(chosen []localapi.Intercept, leave func(localapi.Intercept) ([]string, error)) (localapi.Left, error) {
	answer := localapi.Left{Left: make([]localapi.LeftIntercept, len(chosen))}
	failures := make([]error, len(chosen))
	var wait sync.WaitGroup
	for n, i := range chosen {
		wait.Go(func() {
			notes, err := leave(i)
			answer.Left[n] = localapi.LeftIntercept{Name: i.Name, Namespace: i.Namespace, User: i.User, Workload: i.Workload, Notes: notes}
			failures[n] = err
		})
	}
	wait.Wait()
	for _, err := range failures {
		if err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// addIntercepts says of workloads who intercepts them, as far as the user may know.
func (o *operations) addIntercepts(ctx context.Context, access *cluster.Access, namespace string, workloads []localapi.Workload) {
	found, err := access.Intercepts(ctx, namespace, "")
	if err != nil {
		return
	}
	for i := range found {
		s := intercept.Describe(&found[i])
		for n := range workloads {
			if w := &workloads[n]; w.Namespace == s.Namespace && w.Kind == s.Workload.Kind && w.Name == s.Workload.Name {
				w.Intercepts = append(w.Intercepts, cluster.WorkloadIntercept{Name: s.Name, User: s.User, What: intercept.What(s), Phase: s.Phase})
			}
		}
	}
}
