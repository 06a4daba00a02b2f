// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// CheckHelperVersion refuses a helper whose major.minor version is not ours.
func CheckHelperVersion(ours, helpers string) error {
	mine, okMine := majorMinor(ours)
	its, okIts := majorMinor(helpers)
	if ours == helpers || okMine && okIts && mine == its {
		return nil
	}
	return problem.New(problem.HelperVersion, "Update the helper to the version of fairlead: sudo fairlead helper install.",
		"this is Fairlead %s and the helper on this machine is %s", ours, helpers)
}

// CheckGatewayVersion refuses a gateway whose major.minor version is not ours, and says which side is older.
func CheckGatewayVersion(ours, gateways string) error {
	mine, okMine := majorMinor(ours)
	its, okIts := majorMinor(gateways)
	if !okMine || !okIts {
		if ours == gateways {
			return nil
		}
		return problem.New(problem.GatewayVersion, "Upgrade the gateway with: fairlead gateway upgrade.",
			"this is Fairlead %s and the gateway is %s: one of them is not a release", ours, gateways)
	}
	switch order := cmp.Or(cmp.Compare(mine[0], its[0]), cmp.Compare(mine[1], its[1])); {
	case order > 0:
		return problem.New(problem.GatewayVersion, "An administrator of the cluster upgrades it with: fairlead gateway upgrade.",
			"the gateway is too old: it is version %s and this is Fairlead %s", gateways, ours)
	case order < 0:
		return problem.New(problem.GatewayVersion, "Update Fairlead on this machine to version "+strconv.Itoa(its[0])+"."+strconv.Itoa(its[1])+".",
			"this Fairlead is too old: it is version %s and the gateway is %s", ours, gateways)
	}
	return nil
}

// majorMinor reads the first two numbers of a version such as 0.1.0-dev or v0.1.
func majorMinor(version string) ([2]int, bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return [2]int{}, false
	}
	minor, _, _ := strings.Cut(parts[1], "-")
	major, err1 := strconv.Atoi(parts[0])
	n, err2 := strconv.Atoi(minor)
	return [2]int{major, n}, err1 == nil && err2 == nil && major >= 0 && n >= 0
}
