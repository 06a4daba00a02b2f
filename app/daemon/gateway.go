// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

var errNoInstaller = problem.New(problem.Internal, "Install it with Helm from charts/fairlead.", "this build can't install gateways")

func (o *operations) GatewayStatus(context.Context, localapi.Target) (localapi.Gateway, error) {
	return localapi.Gateway{}, errNoInstaller
}

func (o *operations) GatewayInstall(context.Context, localapi.GatewayRequest, func(string)) (localapi.Gateway, error) {
	return localapi.Gateway{}, errNoInstaller
}

func (o *operations) GatewayUpgrade(context.Context, localapi.GatewayRequest, func(string)) (localapi.Gateway, error) {
	return localapi.Gateway{}, errNoInstaller
}

func (o *operations) GatewayUninstall(context.Context, localapi.GatewayRequest, func(string)) (localapi.Gateway, error) {
	return localapi.Gateway{}, errNoInstaller
}
