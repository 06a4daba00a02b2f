// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	releasecommon "helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// pendingFor is how long an unfinished operation of another Helm is taken to be under way rather than broken off.
const pendingFor = 2 * time.Minute

// helm is the release in one namespace.
type helm struct {
	config    *action.Configuration
	namespace string
}

// helmFor prepares Helm for a namespace.
func (m *Manager) helmFor(namespace string) (*helm, error) {
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := config.Init(newGetter(m.config, namespace), namespace, ""); err != nil {
		return nil, err
	}
	// What Helm finds out for templates: the chart asks for the version only, which spares a look at all APIs.
	version, err := m.clients.Discovery().ServerVersion()
	if err != nil {
		return nil, err
	}
	config.Capabilities = &common.Capabilities{
		KubeVersion: common.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		APIVersions: common.DefaultVersionSet,
		HelmVersion: common.DefaultCapabilities.HelmVersion,
	}
	return &helm{config: config, namespace: namespace}, nil
}

// last returns the latest revision of the release, or nil if there is none.
func (h *helm) last() (*release.Release, error) {
	found, err := h.config.Releases.Last(ReleaseName)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, ok := found.(*release.Release)
	if !ok {
		return nil, errors.New("the release is in a format that this version does not know")
	}
	return last, nil
}

// install makes the release. It does not wait for pods.
func (h *helm) install(ctx context.Context, chart *chart.Chart, values map[string]any, timeout time.Duration) error {
	install := action.NewInstall(h.config)
	install.ReleaseName, install.Namespace = ReleaseName, h.namespace
	install.WaitStrategy, install.Timeout = kube.HookOnlyStrategy, timeout
	install.ServerSideApply, install.DisableOpenAPIValidation = true, true
	_, err := install.RunWithContext(ctx, chart, values)
	return err
}

// render returns the manifest that an install or upgrade with all of these values would have. It does not ask the cluster.
func (h *helm) render(ctx context.Context, chart *chart.Chart, values map[string]any, upgrade bool) (string, error) {
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace = ReleaseName, h.namespace
	install.DryRunStrategy, install.IsUpgrade = action.DryRunClient, upgrade
	install.KubeVersion = &h.config.Capabilities.KubeVersion
	install.DisableOpenAPIValidation = true
	rendered, err := install.RunWithContext(ctx, chart, values)
	if err != nil {
		return "", err
	}
	made, ok := rendered.(*release.Release)
	if !ok {
		return "", errors.New("the release is in a format that this version does not know")
	}
	return made.Manifest, nil
}

// upgrade brings the release to a chart. Values that were given before stay unless values has others.
func (h *helm) upgrade(ctx context.Context, chart *chart.Chart, values map[string]any, timeout time.Duration) error {
	upgrade := action.NewUpgrade(h.config)
	upgrade.Namespace = h.namespace
	upgrade.WaitStrategy, upgrade.Timeout = kube.HookOnlyStrategy, timeout
	upgrade.ServerSideApply, upgrade.DisableOpenAPIValidation = "true", true
	upgrade.ForceConflicts = true // who edited an object by hand hands it back
	upgrade.ResetThenReuseValues = true
	upgrade.MaxHistory = 5
	upgrade.CleanupOnFail = true
	_, err := upgrade.RunWithContext(ctx, ReleaseName, chart, values)
	return err
}

// uninstall removes the release and its history.
func (h *helm) uninstall(timeout time.Duration) error {
	uninstall := action.NewUninstall(h.config)
	uninstall.WaitStrategy, uninstall.Timeout = kube.HookOnlyStrategy, timeout
	uninstall.DeletionPropagation = "background"
	uninstall.IgnoreNotFound = true
	_, err := uninstall.Run(ReleaseName)
	return err
}

// unlock marks an operation that was broken off as failed, so that another can begin. It reports false when it may
// still be under way.
func (h *helm) unlock(last *release.Release) (bool, error) {
	if !last.Info.Status.IsPending() && last.Info.Status != releasecommon.StatusUninstalling {
		return true, nil
	}
	if time.Since(last.Info.LastDeployed) < pendingFor {
		return false, nil
	}
	last.SetStatus(releasecommon.StatusFailed, "broken off")
	return true, h.config.Releases.Update(last)
}
