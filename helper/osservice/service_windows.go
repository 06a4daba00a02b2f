// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/kardianos/service"

	"github.com/fairlead-dev/fairlead/helper/authorization"
)

const serviceName = "FairleadHelper"

// Files is the layout on this system. All of it is where only administrators write.
var Files = Layout{
	Program: filepath.Join(filepath.Dir(authorization.DefaultPath), "fairlead-helper.exe"),
	Policy:  authorization.DefaultPath,
	State:   filepath.Join(filepath.Dir(authorization.DefaultPath), "state"),
}

func options() service.KeyValue {
	return service.KeyValue{
		"StartType":              "automatic",
		"OnFailure":              "restart",
		"OnFailureDelayDuration": "1s",
		"OnFailureResetPeriod":   10, // seconds without a failure after which the count starts again
	}
}

func isInstalled(s service.Service) bool {
	_, err := s.Status()
	return err == nil
}

func tidy() error { return nil }

// startPackaged has nothing to start: there are no packages that bring a service.
func startPackaged(context.Context) error { return errors.ErrUnsupported }
