// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

//go:generate go run sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0 object:headerFile=boilerplate.go.txt paths=. crd output:crd:dir=../../../charts/fairlead/files/crds

// GroupVersion is the group and version of all types here.
var GroupVersion = schema.GroupVersion{Group: "fairlead.dev", Version: "v1alpha1"}

// Resources as the API server's paths name them.
var (
	Connections = GroupVersion.WithResource("connections")
	Intercepts  = GroupVersion.WithResource("intercepts")
)

// AddToScheme makes a scheme know the types here.
var AddToScheme = schemeBuilder.AddToScheme

var schemeBuilder = runtime.NewSchemeBuilder(func(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Connection{}, &ConnectionList{}, &Intercept{}, &InterceptList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
})
