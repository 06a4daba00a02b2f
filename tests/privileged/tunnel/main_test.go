// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// roleVariable says which part a process plays; without it, it starts the others.
const roleVariable = "FAIRLEAD_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "laptop":
		os.Exit(laptop(m))
	case "gateway":
		runGateway()
	case "session":
		runSession()
	case "services":
		runServices()
	default:
		os.Exit(outside())
	}
}

// outside runs the tests in namespaces of their own.
func outside() int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root")
		return 1
	}
	test := exec.Command("/proc/self/exe", os.Args[1:]...)
	test.Env = append(os.Environ(), roleVariable+"=laptop")
	test.Stdin, test.Stdout, test.Stderr = os.Stdin, os.Stdout, os.Stderr
	test.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	err := test.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// laptop sets up the network and runs the tests.
func laptop(m *testing.M) int {
	if err := setUpLaptop(); err != nil {
		fmt.Fprintln(os.Stderr, "set up the laptop:", err)
		return 1
	}
	defer func() { _ = theGateway.stop() }()
	return m.Run()
}
