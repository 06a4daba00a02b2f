// SPDX-License-Identifier: Apache-2.0

package impair

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"time"
)

// Options describe a bad link. The zero value, apart from the interface names, is a perfect one.
type Options struct {
	// Near and Far are names of TAP interfaces that Run creates in its network namespace.
	Near, Far string
	// Delay is added to every frame in each direction.
	Delay time.Duration
	// Loss is the share of frames dropped in each direction, 0 to 1, independent of each other.
	Loss float64
	// Rate is the speed in each direction, in bits per second. Zero means no limit.
	Rate float64
	// Queue is how many bytes wait in each direction before new frames are dropped. It matters with Rate only;
	// zero means one bandwidth-delay product of the link, at least 64 KiB.
	Queue int
	// Seed makes losses repeatable.
	Seed uint64
}

// Register makes options settable by flags.
func (o *Options) Register(flags *flag.FlagSet) {
	flags.StringVar(&o.Near, "near", "near", "TAP interface towards the laptop")
	flags.StringVar(&o.Far, "far", "far", "TAP interface towards everything else")
	flags.DurationVar(&o.Delay, "delay", 0, "delay each way")
	flags.Float64Var(&o.Loss, "loss", 0, "share of frames lost each way, 0 to 1")
	flags.Float64Var(&o.Rate, "rate", 0, "bits per second each way, 0 for no limit")
	flags.IntVar(&o.Queue, "queue", 0, "bytes queued each way before frames are dropped")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of the losses")
}

// Args are the flags that Register would parse into o.
func (o Options) Args() []string {
	return []string{
		"--near", o.Near, "--far", o.Far, "--delay", o.Delay.String(), "--loss", fmt.Sprint(o.Loss),
		"--rate", fmt.Sprintf("%f", o.Rate), "--queue", fmt.Sprint(o.Queue), "--seed", fmt.Sprint(o.Seed),
	}
}

// Validate tells what can't be done.
func (o Options) Validate() error {
	switch {
	case o.Delay < 0 || o.Delay > time.Minute:
		return fmt.Errorf("impair link: delay %s is not between 0 and 1m", o.Delay)
	case o.Loss < 0 || o.Loss > 1:
		return fmt.Errorf("impair link: loss %g is not between 0 and 1", o.Loss)
	case o.Rate < 0:
		return fmt.Errorf("impair link: rate %g is negative", o.Rate)
	case o.Queue < 0:
		return fmt.Errorf("impair link: queue %d is negative", o.Queue)
	}
	return nil
}

const (
	// minimumQueue in bytes keeps a slow link from dropping every burst.
	minimumQueue = 64 << 10
	// unlimitedBacklog in bytes bounds what a link without a rate holds during its delay.
	unlimitedBacklog = 256 << 20
)

func (o Options) queue() int {
	switch {
	case o.Queue > 0:
		return o.Queue
	case o.Rate > 0:
		return max(minimumQueue, int(o.Rate/8*(2*o.Delay).Seconds()))
	}
	return unlimitedBacklog
}

// schedule decides, frame by frame, when one direction of a link delivers. It has no clock of its own.
type schedule struct {
	options Options
	queue   int
	random  *rand.Rand
	// free is when the link has sent everything accepted so far.
	free time.Duration
}

func newSchedule(options Options, direction uint64) *schedule {
	return &schedule{options: options, queue: options.queue(), random: rand.New(rand.NewPCG(options.Seed, direction))}
}

// next takes a frame of size bytes that arrives at now, and returns when it is delivered, or false if it is lost.
// Calls must be in order of time.
func (s *schedule) next(now time.Duration, size int) (time.Duration, bool) {
	if s.options.Rate > 0 {
		s.free = max(s.free, now)
		waiting := (s.free - now).Seconds() * s.options.Rate / 8
		if int(waiting)+size > s.queue {
			return 0, false
		}
		s.free += time.Duration(float64(size) * 8 / s.options.Rate * float64(time.Second))
	} else {
		s.free = now
	}
	// A frame that gets lost on the way has used the link all the same.
	if s.options.Loss > 0 && s.random.Float64() < s.options.Loss {
		return 0, false
	}
	return s.free + s.options.Delay, true
}
