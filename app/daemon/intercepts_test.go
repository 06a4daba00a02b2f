// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func interceptOf(namespace, name, kind, workload string) localapi.Intercept {
	return localapi.Intercept{Namespace: namespace, Name: name, ID: "uid-" + name, User: "ana", Workload: session.InterceptWorkload{Kind: kind, Name: workload}}
}

func TestChooseIntercepts(t *testing.T) {
	several := []localapi.Intercept{
		interceptOf("shop", "api-1", "Deployment", "api"), interceptOf("shop", "api-2", "Deployment", "api"),
		interceptOf("shop", "db-1", "StatefulSet", "db"), interceptOf("other", "api-3", "Deployment", "api"),
	}
	for _, test := range []struct {
		name    string
		there   []localapi.Intercept
		request localapi.LeaveRequest
		want    string // names, or the code of the error
	}{
		{"the only one", several[:1], localapi.LeaveRequest{}, "api-1"},
		{"none", nil, localapi.LeaveRequest{}, "not_found"},
		{"several, none named", several, localapi.LeaveRequest{}, "usage"},
		{"another's only one is not taken for granted", several[:1], localapi.LeaveRequest{Owner: "ana"}, "usage"},
		{"all", several, localapi.LeaveRequest{All: true}, "api-1 api-2 db-1 api-3"},
		{"all of none", nil, localapi.LeaveRequest{All: true}, ""},
		{"by workload", several, localapi.LeaveRequest{Names: []string{"api"}}, "api-1 api-2 api-3"},
		{"in a namespace", several, localapi.LeaveRequest{Names: []string{"api"}, Target: localapi.Target{Namespace: "other"}}, "api-3"},
		{"by name", several, localapi.LeaveRequest{Names: []string{"api-2"}}, "api-2"},
		{"by namespace and name", several, localapi.LeaveRequest{Names: []string{"shop/api-2"}}, "api-2"},
		{"by ID", several, localapi.LeaveRequest{Names: []string{"uid-db-1"}}, "db-1"},
		{"by kind", several, localapi.LeaveRequest{Names: []string{"sts/db"}}, "db-1"},
		{"by another kind", several, localapi.LeaveRequest{Names: []string{"deploy/db"}}, "not_found"},
		{"twice", several, localapi.LeaveRequest{Names: []string{"db", "db-1"}}, "db-1"},
		{"one is not there", several, localapi.LeaveRequest{Names: []string{"db", "web"}}, "not_found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			chosen, err := chooseIntercepts(test.there, test.request)
			var names []string
			for _, i := range chosen {
				names = append(names, i.Name)
			}
			got := strings.Join(names, " ")
			if err != nil {
				got = string(problem.From(err).Code)
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestOneThatCanNotBeLeftDoesNotKeepTheOthers(t *testing.T) {
	left := map[string]bool{}
	var turn = make(chan struct{}, 1)
	_, err := leaveEach([]localapi.Intercept{interceptOf("shop", "api-1", "Deployment", "api"), interceptOf("shop", "api-2", "Deployment", "api")}, func(i localapi.Intercept) ([]string, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		if i.Name == "api-1" {
			return nil, errors.New("no")
		}
		left[i.Name] = true
		return nil, nil
	})
	if err == nil || !left["api-2"] {
		t.Errorf("got %v, left %v", err, left)
	}
}

func TestCountsAloneAreNotWorthTelling(t *testing.T) {
	before := interceptOf("shop", "api-1", "Deployment", "api")
	after := before
	after.Counts.Matched = 7
	if worthTelling(before, after) {
		t.Error("a count was told")
	}
	after.Phase = "Suspended"
	if !worthTelling(before, after) {
		t.Error("a phase was not told")
	}
}
