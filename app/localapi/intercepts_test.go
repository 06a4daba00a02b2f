// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

func TestAnInterceptReportsItsStepsAndItsOutcome(t *testing.T) {
	f := &fake{intercept: func(_ context.Context, r InterceptRequest, progress func(string)) (Intercept, error) {
		progress("looking for " + r.Workload)
		return Intercept{ID: "1", Name: "api-1"}, nil
	}}
	var steps []string
	made, hold, err := serve(t, f).Intercept(t.Context(), InterceptRequest{Workload: "api"}, func(step string) { steps = append(steps, step) })
	if err != nil || made.Name != "api-1" || hold != nil || !slices.Equal(steps, []string{"looking for api"}) {
		t.Errorf("got %+v, %v, steps %q", made, err, steps)
	}
}

func TestAnInterceptThatIsInterruptedIsAnswered(t *testing.T) {
	started := make(chan struct{})
	f := &fake{intercept: func(ctx context.Context, _ InterceptRequest, _ func(string)) (Intercept, error) {
		close(started)
		<-ctx.Done()
		return Intercept{}, problem.New(problem.Cancelled, "", "it has been left again")
	}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, _, err := serve(t, f).Intercept(ctx, InterceptRequest{}, func(string) {})
	if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Message != "it has been left again" {
		t.Errorf("got %v", err)
	}
}

func TestAnAttachedInterceptEndsWithItsHolder(t *testing.T) {
	left := make(chan struct{})
	f := &fake{
		intercept: func(context.Context, InterceptRequest, func(string)) (Intercept, error) {
			return Intercept{ID: "1"}, nil
		},
		attend: func(ctx context.Context, each func(Intercept)) string {
			each(Intercept{ID: "1", Phase: "Active"})
			<-ctx.Done()
			close(left)
			return "its program has gone"
		},
	}
	_, hold, err := serve(t, f).Intercept(t.Context(), InterceptRequest{Attached: true}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = hold(ctx, func(i Intercept) {
		if i.Phase != "Active" {
			t.Errorf("got %+v", i)
		}
		cancel()
	})
	if err == nil {
		t.Error("holding ended without an error, though it was cut short")
	}
	<-left
}

func TestAnAttachedInterceptSaysWhyItEnded(t *testing.T) {
	f := &fake{
		intercept: func(context.Context, InterceptRequest, func(string)) (Intercept, error) {
			return Intercept{ID: "1"}, nil
		},
		attend: func(context.Context, func(Intercept)) string { return "its time is over" },
	}
	_, hold, err := serve(t, f).Intercept(t.Context(), InterceptRequest{Attached: true}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if why, err := hold(t.Context(), func(Intercept) {}); err != nil || why != "its time is over" {
		t.Errorf("got %q, %v", why, err)
	}
}
