// SPDX-License-Identifier: Apache-2.0

package impair

import (
	"flag"
	"math"
	"reflect"
	"testing"
	"time"
)

func TestScheduleDelays(t *testing.T) {
	schedule := newSchedule(Options{Delay: 10 * time.Millisecond}, 0)
	for _, now := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond} {
		due, delivered := schedule.next(now, 1500)
		if !delivered || due != now+10*time.Millisecond {
			t.Errorf("frame at %s: due %s, delivered %t", now, due, delivered)
		}
	}
}

func TestScheduleKeepsRateAndQueue(t *testing.T) {
	// 12 Mbit/s sends a frame of 1500 bytes in 1 ms.
	schedule := newSchedule(Options{Rate: 12e6, Queue: 4500}, 0)
	for i := range 3 {
		due, delivered := schedule.next(0, 1500)
		if want := time.Duration(i+1) * time.Millisecond; !delivered || due != want {
			t.Errorf("frame %d: due %s (want %s), delivered %t", i, due, want, delivered)
		}
	}
	if _, delivered := schedule.next(0, 1500); delivered {
		t.Error("a frame beyond the queue was not dropped")
	}
	if due, delivered := schedule.next(time.Millisecond, 1500); !delivered || due != 4*time.Millisecond {
		t.Errorf("after one frame has left: due %s, delivered %t", due, delivered)
	}
}

func TestScheduleLosesAsAsked(t *testing.T) {
	schedule := newSchedule(Options{Loss: 0.05, Seed: 7}, 1)
	lost := 0
	const frames = 100000
	for range frames {
		if _, delivered := schedule.next(0, 100); !delivered {
			lost++
		}
	}
	if share := float64(lost) / frames; math.Abs(share-0.05) > 0.005 {
		t.Errorf("lost %.3f of the frames, want 0.05", share)
	}
}

func TestOptionsSurviveFlags(t *testing.T) {
	want := Options{Near: "a", Far: "b", Delay: 10 * time.Millisecond, Loss: 0.005, Rate: 200e6, Queue: 1 << 20, Seed: 9}
	var got Options
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	got.Register(flags)
	if err := flags.Parse(want.Args()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestValidate(t *testing.T) {
	for _, options := range []Options{{Delay: -1}, {Loss: 1.5}, {Rate: -1}, {Queue: -1}, {Delay: time.Hour}} {
		if options.Validate() == nil {
			t.Errorf("%+v was taken", options)
		}
	}
}
