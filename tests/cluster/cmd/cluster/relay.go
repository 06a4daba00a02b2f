// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

// relayReady is what a relay in the background says when it listens.
const relayReady = "ready\n"

func relayCommand(name *string) *cobra.Command {
	var number, port int
	var background bool
	command := &cobra.Command{
		Use: "relay", Short: "Give this machine's browsers a port of a laptop's loopback, under the same number, until the laptop ends", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if background {
				return relayInBackground(*name, number, port)
			}
			laptop, err := findLaptop(*name, number)
			if err != nil {
				return err
			}
			err = laptop.Relay(cmd.Context(), port, relayUsers(), func() { fmt.Print(relayReady) })
			if errors.Is(err, cluster.ErrRelayed) {
				fmt.Print(relayReady)
				return nil
			}
			return err
		},
	}
	command.Flags().IntVar(&number, "laptop", 1, "which laptop, from 1")
	command.Flags().IntVar(&port, "port", 0, "the port")
	command.Flags().BoolVar(&background, "background", false, "return when it listens")
	return command
}

// relayUsers are root, and who became root to run this.
func relayUsers() []int {
	users := []int{0}
	for _, variable := range []string{"SUDO_UID", "PKEXEC_UID"} {
		if id, err := strconv.Atoi(os.Getenv(variable)); err == nil {
			users = append(users, id)
		}
	}
	return users
}

// relayInBackground starts this program as a relay in a session of its own.
func relayInBackground(name string, number, port int) error {
	own, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	relay := exec.Command(own, "--name", name, "relay", "--laptop", strconv.Itoa(number), "--port", strconv.Itoa(port))
	relay.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe to the relay: %w", err)
	}
	defer reader.Close()
	relay.Stdout = writer
	relay.Stderr = writer
	err = relay.Start()
	writer.Close()
	if err != nil {
		return fmt.Errorf("start the relay: %w", err)
	}
	answer := make([]byte, len(relayReady))
	if _, err := io.ReadFull(reader, answer); err != nil || string(answer) != relayReady {
		rest, _ := io.ReadAll(io.LimitReader(reader, 4096))
		return fmt.Errorf("start the relay: %s%s", answer, rest)
	}
	return relay.Process.Release()
}
