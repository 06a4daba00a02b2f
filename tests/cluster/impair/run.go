// SPDX-License-Identifier: Apache-2.0

// Package impair is a bad network link in user space, for kernels without netem: it moves Ethernet frames between two
// TAP interfaces and delays, loses and slows them down on the way. Being below IP, it changes nothing that either end
// can see but the quality of the link.
//
// It must not change interfaces other than the two it creates.
package impair

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// maximumFrame is an Ethernet frame with MTU 1500, a VLAN tag and room to spare, in bytes.
const maximumFrame = 2048

// Run creates the two interfaces, up, and carries frames between them until ctx is done. The interfaces are gone when
// it returns.
func Run(ctx context.Context, options Options) error {
	if err := options.Validate(); err != nil {
		return err
	}
	near, err := openTAP(options.Near)
	if err != nil {
		return err
	}
	far, err := openTAP(options.Far)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for direction, ends := range [][2]int{{near, far}, {far, near}} {
		frames := newQueue(options.queue() + int(options.Rate/8*options.Delay.Seconds()))
		group.Go(func() error { return receive(ctx, ends[0], newSchedule(options, uint64(direction)), frames) })
		group.Go(func() error { return send(ctx, ends[1], frames) })
	}
	return group.Wait()
}

// openTAP creates a TAP interface and sets it up. Reads from it block. Without a virtio header the kernel splits
// large segments and fills in checksums before a frame is read, so every frame is a whole one.
func openTAP(name string) (int, error) {
	tap, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("name TAP interface %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tap, unix.TUNSETIFF, request); err != nil {
		return 0, fmt.Errorf("create TAP interface %s: %w", name, err)
	}
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open socket for TAP interface: %w", err)
	}
	defer unix.Close(control)
	if err := unix.IoctlIfreq(control, unix.SIOCGIFFLAGS, request); err != nil {
		return 0, fmt.Errorf("read flags of TAP interface %s: %w", name, err)
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(control, unix.SIOCSIFFLAGS, request); err != nil {
		return 0, fmt.Errorf("set TAP interface %s up: %w", name, err)
	}
	return tap, nil
}

// pollInterval in milliseconds is how often a blocked reader looks whether it should end.
const pollInterval = 100

// receive schedules frames as they come in.
func receive(ctx context.Context, tap int, schedule *schedule, frames *queue) error {
	runtime.LockOSThread()
	defer frames.close()
	buffer := make([]byte, maximumFrame)
	for ctx.Err() == nil {
		size, err := unix.Read(tap, buffer)
		if errors.Is(err, unix.EAGAIN) {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(tap), Events: unix.POLLIN}}, pollInterval); err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for frames: %w", err)
			}
			continue
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read frame: %w", err)
		}
		if due, delivered := schedule.next(now(), size); delivered {
			frames.push(due, buffer[:size])
		}
	}
	return nil
}

// send writes each frame when it is due.
func send(ctx context.Context, tap int, frames *queue) error {
	// The default slack of 50 µs in every sleep would show at short delays.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	for {
		due, frame, open := frames.pop()
		if !open || ctx.Err() != nil {
			return nil
		}
		sleepUntil(due)
		for {
			_, err := unix.Write(tap, frame)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			// EIO: the interface is down. A full interface (EAGAIN) drops as well, as hardware would.
			if err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, unix.EAGAIN) {
				return fmt.Errorf("write frame: %w", err)
			}
			break
		}
		frames.recycle(frame)
	}
}

// now is the time since boot, from the clock that sleepUntil uses.
func now() time.Duration {
	var spec unix.Timespec
	// It can't fail with this clock.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &spec)
	return time.Duration(spec.Nano())
}

// sleepUntil sleeps in the kernel: Go's timers round up to a millisecond when the process is otherwise idle.
func sleepUntil(due time.Duration) {
	spec := unix.NsecToTimespec(int64(due))
	for now() < due {
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &spec, nil); err == nil {
			return
		}
	}
}
