// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// startTimeout bounds the time from start to readiness; it has to cover an earlier daemon that is about to end.
const startTimeout = claimTimeout + 5*time.Second

// announcement is the one line of JSON that a daemon writes to its standard output, then closes it: that it serves, or
// why not.
type announcement struct {
	Ready   bool             `json:"ready"`
	Problem *problem.Problem `json:"problem,omitempty"`
}

// Announce tells Start, through w, that the daemon serves; with an error, why it does not. Another daemon that serves
// is as good.
func Announce(w io.WriteCloser, err error) {
	a := announcement{Ready: err == nil || errors.Is(err, ErrRunning)}
	if !a.Ready {
		a.Problem = problem.From(err)
	}
	_ = json.NewEncoder(w).Encode(a)
	_ = w.Close()
}

// Start runs the program with the arguments that make it a daemon, in a session of its own, so that it outlives the
// terminal. It returns when the daemon serves.
func Start(ctx context.Context, program string, arguments ...string) error {
	command := exec.Command(program, arguments...)
	command.Dir = startFolder()
	command.SysProcAttr = detached()
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe to the daemon: %w", err)
	}
	defer reader.Close()
	command.Stdout = writer
	err = command.Start()
	writer.Close()
	if err != nil {
		return problem.Wrap(err, problem.Internal, "Make sure that "+program+" is there and may be run.", "start the Fairlead daemon")
	}
	defer command.Process.Release()

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	heard := make(chan error, 1)
	go func() { heard <- listen(reader) }()
	select {
	case err := <-heard:
		return err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return problem.New(problem.Timeout, logHint(), "the Fairlead daemon did not start within %s", startTimeout)
		}
		return problem.Wrap(ctx.Err(), problem.Cancelled, "", "cancelled")
	}
}

// listen reads the announcement.
func listen(r io.Reader) error {
	line, err := bufio.NewReader(r).ReadBytes('\n')
	var a announcement
	if err != nil || json.Unmarshal(line, &a) != nil {
		return problem.New(problem.Internal, logHint(), "the Fairlead daemon ended while it was starting")
	}
	if a.Problem != nil {
		return a.Problem
	}
	return nil
}

func logHint() string {
	path, err := LogFile()
	if err != nil {
		return "Run 'fairlead daemon' to see why."
	}
	return "Its log says why: " + path
}
