// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"strings"
	"testing"
	"time"
)

var (
	none     = Health{Silence: -1}
	untried  = Health{Configured: true, Silence: -1, Endpoint: "192.0.2.1:31820"}
	answers  = Health{Configured: true, Silence: 100 * time.Millisecond}
	standby  = Health{Configured: true, Silence: 3 * time.Second}
	longDead = silent(time.Minute)
)

func silent(d time.Duration) Health {
	return Health{Configured: true, Silence: d, Overdue: 2, Endpoint: "192.0.2.1:31820"}
}

// step is what happens at one moment, and what is decided then.
type step struct {
	after      time.Duration // since the step before
	udp, relay Health
	want       Name
	alive      bool
	reason     string // that must be part of the reason given
}

func TestPolicy(t *testing.T) {
	second := time.Second
	tests := []struct {
		name    string
		mode    Mode
		initial Name
		steps   []step
	}{
		{"udp answers first", Auto, UDP, []step{
			{0, untried, none, UDP, false, "neither"},
			{second / 10, answers, none, UDP, true, "UDP answers"},
			{second / 10, answers, answers, UDP, true, "UDP answers"},
		}},
		{"relay answers first, udp later and at once", Auto, UDP, []step{
			{0, untried, untried, UDP, false, ""},
			{second / 10, untried, answers, Relay, true, "UDP to 192.0.2.1:31820 has not been answered so far"},
			{second / 2, answers, answers, UDP, true, "UDP answers"},
		}},
		{"no udp endpoint", Auto, Relay, []step{
			{0, none, none, Relay, false, ""},
			{second, none, answers, Relay, true, "no UDP endpoint"},
		}},
		{"udp blocked and unblocked", Auto, UDP, []step{
			{0, answers, answers, UDP, true, ""},
			{second, silent(second), answers, UDP, true, ""},
			{second, silent(2 * second), standby, Relay, true, "is not answered"},
			{second, silent(3 * second), answers, Relay, true, "is not answered"},
			{second, answers, answers, Relay, true, "answers again"},
			{second / 2, answers, answers, Relay, true, "answers again"},
			{second / 2, answers, answers, UDP, true, "UDP answers"},
			{second, silent(2 * second), standby, Relay, true, ""},
		}},
		{"relay dies in use while udp is back", Auto, Relay, []step{
			{0, longDead, answers, Relay, true, ""},
			{second, answers, silent(2 * second), UDP, true, ""},
		}},
		{"both dead, then udp", Auto, UDP, []step{
			{0, answers, none, UDP, true, ""},
			{2 * second, silent(2 * second), none, UDP, false, "neither"},
			{2 * second, silent(4 * second), longDead, Relay, false, ""},
			{second, silent(5 * second), longDead, Relay, false, "neither"},
			{second, answers, longDead, UDP, true, ""},
		}},
		{"a gap in udp's steadiness starts the wait again", Auto, UDP, []step{
			{0, answers, answers, UDP, true, ""},
			{2 * second, silent(2 * second), answers, Relay, true, ""},
			{second, answers, answers, Relay, true, ""},
			{second / 2, silent(2 * second), answers, Relay, true, ""},
			{second / 2, answers, answers, Relay, true, ""},
			{second / 2, answers, answers, Relay, true, ""},
			{second / 2, answers, answers, UDP, true, ""},
		}},
		{"only udp", UDPOnly, UDP, []step{
			{0, untried, none, UDP, false, "asked for; udp does not answer"},
			{second, none, answers, UDP, false, "no UDP endpoint"},
			{second, answers, none, UDP, true, "asked for"},
		}},
		{"only relay", RelayOnly, Relay, []step{
			{0, answers, none, Relay, false, "asked for"},
			{second, answers, Health{Configured: true, Silence: -1, Error: "broken pipe"}, Relay, false, "broken pipe"},
			{second, answers, answers, Relay, true, "asked for"},
		}},
		{"too busy to probe", Auto, UDP, []step{
			{0, answers, answers, UDP, true, ""},
			{2 * second, Health{Configured: true, Silence: 2 * second}, answers, UDP, true, "UDP answers"},
			{second, Health{Configured: true, Silence: 3 * second}, answers, Relay, true, ""},
		}},
		{"nothing yet", Auto, None, []step{
			{0, none, none, None, false, "no way"},
			{second, untried, none, UDP, false, ""},
		}},
		{"udp can't be sent", Auto, UDP, []step{
			{0, Health{Configured: true, Silence: -1, Error: "network is unreachable"}, answers, Relay, true, "network is unreachable"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewPolicy(test.mode, test.initial)
			now := time.Unix(1e9, 0)
			for i, s := range test.steps {
				now = now.Add(s.after)
				got := p.Decide(now, s.udp, s.relay)
				if got.Carrier != s.want || got.Alive != s.alive || !strings.Contains(got.Reason, s.reason) {
					t.Fatalf("step %d: got %+v, want %q alive %v reason with %q", i, got, s.want, s.alive, s.reason)
				}
			}
		})
	}
}

// A path that comes and goes is left alone for longer and longer, but not for ever.
func TestPolicyLeavesFlappingUDPAlone(t *testing.T) {
	p := NewPolicy(Auto, UDP)
	now := time.Unix(1e9, 0)
	p.Decide(now, answers, answers)
	var waits []time.Duration
	for range 12 {
		now = now.Add(2 * time.Second)
		if got := p.Decide(now, silent(2*time.Second), answers); got.Carrier != Relay {
			t.Fatalf("UDP is silent, got %+v", got)
		}
		since := now
		for p.Decide(now, answers, answers).Carrier != UDP {
			now = now.Add(100 * time.Millisecond)
		}
		waits = append(waits, now.Sub(since))
	}
	if waits[0] != firstHold || waits[2] != firstHold {
		t.Errorf("the first failures must not lengthen the wait: %v", waits)
	}
	for i, wait := range waits {
		if wait > longestHold {
			t.Errorf("wait %d is %v, longer than %v", i, wait, longestHold)
		}
	}
	if last := waits[6]; last < 4*firstHold {
		t.Errorf("a flapping path must be left alone for longer: %v", waits)
	}
	now = now.Add(2 * flapWindow)
	p.Decide(now, silent(2*time.Second), answers)
	now = now.Add(time.Second)
	p.Decide(now, answers, answers)
	now = now.Add(firstHold)
	if got := p.Decide(now, answers, answers); got.Carrier != UDP {
		t.Errorf("old failures must be forgotten, got %+v", got)
	}
}
