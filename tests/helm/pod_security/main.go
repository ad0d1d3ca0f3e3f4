// Asks Kubernetes' own Pod Security admission about the Pods of manifests, for each version named.
// Usage: go run . FILE VERSION… It prints one line for each Pod and version that the restricted level refuses.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func pod(raw []byte) (*metav1.ObjectMeta, *corev1.PodSpec, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(raw, &kind); err != nil {
		return nil, nil, err
	}
	switch kind.Kind {
	case "Pod":
		var found corev1.Pod
		err := yaml.Unmarshal(raw, &found)
		return &found.ObjectMeta, &found.Spec, err
	case "Deployment", "StatefulSet":
		var found appsv1.Deployment // a StatefulSet's template is in the same place
		err := yaml.Unmarshal(raw, &found)
		return &found.Spec.Template.ObjectMeta, &found.Spec.Template.Spec, err
	}
	return nil, nil, nil
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	pods, refused := 0, 0
	for {
		raw, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		meta, spec, err := pod(raw)
		if err != nil {
			panic(err)
		}
		if spec == nil {
			continue
		}
		pods++
		for _, named := range os.Args[2:] {
			version, err := api.ParseVersion("v" + strings.Join(strings.Split(named, ".")[:2], "."))
			if err != nil {
				panic(err)
			}
			level := api.LevelVersion{Level: api.LevelRestricted, Version: version}
			for _, result := range evaluator.EvaluatePod(level, meta, spec) {
				if !result.Allowed {
					refused++
					fmt.Printf("%s: %s (%s)\n", named, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	}
	fmt.Printf("%d Pods, %d refusals\n", pods, refused)
	if refused > 0 {
		os.Exit(1)
	}
}
