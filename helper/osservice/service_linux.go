// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"bytes"
	"context"
	_ "embed" // the definitions
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kardianos/service"

	"github.com/fairlead-dev/fairlead/helper/authorization"
)

const serviceName = "fairlead-helper"

// Files is the layout on this system.
var Files = Layout{
	Program:   "/usr/local/libexec/fairlead/fairlead-helper",
	Packaged:  "/usr/sbin/fairlead-helper",
	Policy:    authorization.DefaultPath,
	State:     "/var/lib/fairlead",
	Leftovers: []string{"/run/fairlead", "/run/fairlead-helper.pid", "/var/log/fairlead-helper.log"},
}

//go:embed fairlead-helper.service
var systemdUnit string

//go:embed fairlead-helper.init
var initScript string

func options() service.KeyValue {
	return service.KeyValue{"SystemdScript": systemdUnit, "SysvScript": initScript}
}

// isInstalled looks for the definition itself: what a service manager says of a service depends on its state.
func isInstalled(service.Service) bool {
	for _, path := range []string{"/etc/systemd/system/" + serviceName + ".service", "/etc/init.d/" + serviceName} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// tidy removes the links to an init script, which the library leaves.
func tidy() error {
	links, err := filepath.Glob("/etc/rc[0-6S].d/[SK][0-9][0-9]" + serviceName)
	for _, link := range links {
		if removeErr := os.Remove(link); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// startPackaged starts the service that a package has defined.
func startPackaged(ctx context.Context) error {
	line := []string{"service", serviceName, "start"}
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		line = []string{"systemctl", "enable", "--now", serviceName}
	}
	if output, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("start service: %s: %w: %s", line[0], err, bytes.TrimSpace(output))
	}
	return nil
}
