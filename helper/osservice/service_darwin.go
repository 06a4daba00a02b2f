// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"context"
	_ "embed" // the definition
	"errors"
	"os"

	"github.com/kardianos/service"

	"github.com/fairlead-dev/fairlead/helper/authorization"
)

const serviceName = "dev.fairlead.helper"

// Files is the layout on this system.
var Files = Layout{
	Program:   "/usr/local/libexec/fairlead/fairlead-helper",
	Policy:    authorization.DefaultPath,
	State:     "/var/lib/fairlead",
	Leftovers: []string{"/var/run/fairlead", "/var/log/fairlead-helper.log"},
}

//go:embed dev.fairlead.helper.plist
var launchdDefinition string

func options() service.KeyValue { return service.KeyValue{"LaunchdConfig": launchdDefinition} }

func isInstalled(service.Service) bool {
	_, err := os.Lstat("/Library/LaunchDaemons/" + serviceName + ".plist")
	return err == nil
}

func tidy() error { return nil }

// startPackaged has nothing to start: there are no packages that bring a service.
func startPackaged(context.Context) error { return errors.ErrUnsupported }
