// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/programs"
)

func (o *operations) InterceptPreview(ctx context.Context, r localapi.InterceptRequest) (localapi.InterceptPreview, error) {
	p, err := o.intercepts.Preview(ctx, r)
	if err != nil {
		return localapi.InterceptPreview{}, err
	}
	answer := localapi.InterceptPreview{
		Workload: localapi.InterceptedWorkload{
			Namespace: p.Workload.Namespace, Kind: p.Workload.Kind, Name: p.Workload.Name, Pods: p.Workload.Pods, Containers: p.Workload.Containers,
			Ports: []localapi.WorkloadPort{},
		},
		Header: p.Header, Baggage: p.Baggage, Curl: p.Curl, Share: p.Share, Touches: p.Touches, Warnings: p.Warnings, Problem: p.Problem, Key: p.Key,
	}
	for _, port := range p.Workload.Ports {
		answer.Workload.Ports = append(answer.Workload.Ports, localapi.WorkloadPort(port))
	}
	return answer, nil
}

func (o *operations) Programs(ctx context.Context) (localapi.Programs, error) {
	found, note, err := programs.List(ctx, o.manager.Status().Addresses)
	return localapi.Programs{Programs: found, Note: note}, err
}
