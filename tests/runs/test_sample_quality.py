"""On the sample editions content must help: otherwise an audit of multimodal models there would audit nothing."""

import numpy as np
import pytest
import torch

from robustrec.audits.quality import MetricSuite, measure_clean
from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.evaluation.statistics import paired_interval
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import prepare
from robustrec.runs.subjects import obtain_subject


@pytest.mark.parametrize("shop", ["clothing", "electronics"])
def test_a_multimodal_recommender_clearly_beats_one_without_content(shop, sample_home):
    dataset = load_dataset(shop, home=sample_home, edition="sample")
    prepared = prepare(dataset, item_features(dataset, "basic", home=sample_home), torch.device("cpu"))
    settings = Settings(home=sample_home, model=("bpr", "vbpr"), strategy=("vanilla",))
    recall = []
    for spec in subject_specs(settings, "sample"):
        subject = obtain_subject(spec, prepared, home=sample_home)
        metric_suite = MetricSuite(("recall@20",), ())
        recall.append(measure_clean(subject.represent(), prepared.test, metric_suite).per_user["recall@20"])
    without, with_content = recall
    found = paired_interval(without, with_content[None, :], seed=0)
    assert found.relative is not None
    assert found.relative.low > 0.15, "even the lower end of the interval is a clear gain"
    assert found.relative.estimate > 0.3
    popularity = prepared.positives.items.bincount(minlength=prepared.problem.n_items).double()
    everyone = np.argsort(-popularity.numpy(), kind="stable")[:20]
    relevant = prepared.test.relevant[prepared.test.users].toarray()
    of_popularity = float((relevant[:, everyone].sum(1) / relevant.sum(1)).mean())
    assert without.mean() > of_popularity, "and the one without content has learned something too"
