// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package autostart

import "errors"

var errNoRegistry = errors.New("this system has no registry")

func (RegistryValue) set() error    { return errNoRegistry }
func (RegistryValue) remove() error { return errNoRegistry }
