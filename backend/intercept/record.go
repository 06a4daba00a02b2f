// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/backend/traffic"
)

// Record is one request that was meant for this laptop.
type Record = traffic.Record

// Records are the requests that were meant for this laptop, whether they came or not.
func (m *Manager) Records() *traffic.Log { return m.records }

// flowOf says what the requests of a flow have in common.
func flowOf(open wire.Open) traffic.Flow {
	f := traffic.Flow{Intercept: open.Intercept, HTTP: open.Kind == wire.FlowHTTP, UDP: open.Protocol == "UDP", Mirror: open.Kind == wire.FlowMirror}
	if open.Client.IsValid() {
		f.Client = open.Client.Addr().Unmap().String()
	}
	return f
}

// missed notes a flow that this laptop does not take.
func (l *listener) missed(open wire.Open, why string) {
	if open.Kind == wire.FlowProbe {
		return
	}
	if open.Kind == wire.FlowMirror {
		why += "; the copy went nowhere"
	}
	l.records.Missed(flowOf(open), open.Method, open.Path, why)
}
