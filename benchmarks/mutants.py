"""One-line faults for `benchmarks.mutation`: where, what stands there, what is planted, and which tests must notice."""

# ruff: noqa: E501 - a fault a line, so that the table can be read
from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A planted fault.

    Attributes:
        file: path below `robustrec/`.
        old: text that occurs exactly once in it.
        new: what takes its place.
        tests: test files (or tests in them, FILE::NAME), separated by blanks, below `tests/`.
    """

    file: str
    old: str
    new: str
    tests: str


UPDATES = "training/test_strategies_updates.py"
RECORD = "training/test_strategies_record.py"
TRAINER = "training/test_trainer.py"
SAMPLING = "training/test_sampling.py"
METRICS = "evaluation/test_metrics.py"
BEYOND = "evaluation/test_beyond.py"
RANKING = "evaluation/test_ranking.py"
STABILITY = "evaluation/test_stability.py"
STATISTICS = "evaluation/test_statistics.py"
COMPONENTS = "evaluation/test_components.py"
PREPARED = "runs/test_prepared.py"
DISTINCT = "runs/test_distinct.py"
STORE = "runs/test_run_store.py"
CONDITIONS = "report/test_conditions.py"
SELECTION = "report/test_selection.py"
NOISE = "audits/test_noise.py"
REACH = "audits/test_reach_faults.py"
ROWS = "audits/test_finding_rows.py"
PASSES = "audits/test_false_passes.py"
GATES = "report/test_gates.py"
GATE_TEXT = "audits/test_gate_text.py"
BUILD_FORMS = "report/test_build_forms.py"
RATES = "report/test_error_rates.py"
VERDICT = "report/test_verdict.py"
WAIVERS = "report/test_waivers.py"
SPLITS = "datasets/test_data_splits.py"
NEAREST = "models/test_graphs_nearest.py"
SPARSE = "models/test_graphs_sparse.py"
GRAPHS = "models/test_graphs.py"
DA_MRS = "models/test_da_mrs.py"
HF_NETWORKS = "encoders/test_generic_networks.py"
HF_ENCODERS = "encoders/test_generic_encoders.py"
MODALITIES = "models/test_modalities.py"
SMORE = "models/test_smore.py"
MENTOR = "models/test_mentor.py"
AUDITED = "audits/test_audited_modalities.py"
DUAL = f"{HF_NETWORKS}::test_both_towers_are_those_of_the_joint_forward_pass"

LINKS = "datasets/test_picture_links.py"
PUBLISHED = "datasets/test_prepare.py"
METADATA = "datasets/test_amazon_metadata.py"
PYG_MODELS = "adapters/test_pyg_recommenders.py"
PYG_GRAPHS = "adapters/test_pyg_graphs.py"

_STRATEGIES = "training/strategies.py"
_TRAINER = "training/trainer.py"
_CHECKPOINTS = "training/checkpoints.py"
_PREPARED = "runs/prepared.py"
_REACH = "audits/reach/check.py"
_NOISE = "audits/noise/condition.py"
_BOOTSTRAP = "evaluation/bootstrap.py"
_GATE_TEXT = "audits/gate_text.py"
_JUDGING = "results/judging.py"
_RATES = "evaluation/error_rates.py"
_STORE = "runs/store.py"

_FILTERED = "models/filtered.py"
_FIRST = "self._clean[modality].table + (table - self._clean[modality].source())"
FILTER_LAST = "audits/test_filter_last.py::test_what_is_done_to_the_features_comes_before_the_filter"

# fmt: off
MUTANTS = {
    "strategies": [
        Mutant(_STRATEGIES, "-self.config.alpha2)\n        if measured:", "self.config.alpha2)\n        if measured:", UPDATES),
        Mutant("training/ascent.py", "config.rho / (get_total_norm(gradients)", "-config.rho / (get_total_norm(gradients)", UPDATES),
        Mutant(_STRATEGIES, "self.count % self.config.period == 0", "self.count % self.config.period == 1", UPDATES),
        Mutant(_STRATEGIES, "factor = self.config.alpha1 if kind.mirror and due", "factor = 1.0 if kind.mirror and due", UPDATES),
        Mutant(_STRATEGIES, "parameter.data = theta", "pass", UPDATES),
        Mutant(_STRATEGIES, "if active.probe and due:", "if active.probe:", UPDATES),
        Mutant(_STRATEGIES, "moments.sqrt() / scale", "moments.sqrt()", UPDATES),
        Mutant(_STRATEGIES, 'if self.config.counter == "per_epoch":', "if True:", RECORD),
        Mutant(_STRATEGIES, "self._meter.mirrored_steps += 1", "pass", RECORD),
        Mutant("training/mirror_record.py", "(cosine > 0)", "(cosine > -1)", RECORD),
        Mutant("training/strategy_config.py", "additional = self.active_steps.probe + self.active_steps.mirror", "additional = self.active_steps.mirror", "training/test_strategies_updates.py"),
        Mutant("runs/distinct.py", "if promised and each.mirrored_steps == 0:", "if False:", DISTINCT),
        Mutant("runs/distinct.py", "if value is not None:", "if False:", DISTINCT),
        Mutant("runs/distinct.py", "if steps.mirror and not config.active_steps.mirror:", "if False:", DISTINCT),
    ],
    "metrics": [
        Mutant("evaluation/accuracy.py", "np.log2(np.arange(2, k + 2))", "np.log2(np.arange(1, k + 1) + 0.5)", METRICS),
        Mutant("evaluation/accuracy.py", "[np.minimum(n_relevant, k) - 1]", "[k - 1]", METRICS),
        Mutant("evaluation/accuracy.py", "return found / n_relevant", "return found / np.minimum(n_relevant, k)", METRICS),
        Mutant("evaluation/accuracy.py", "return found / np.float64(k)", "return found / n_relevant", METRICS),
        Mutant("evaluation/accuracy.py", "return gained / np.minimum(n_relevant, k)", "return gained / n_relevant", METRICS),
        Mutant("evaluation/accuracy.py", "return np.asarray(hits[:, :k].any(axis=1)", "return np.asarray(hits[:, :1].any(axis=1)", METRICS),
        Mutant("evaluation/accuracy.py", "np.reciprocal(shown.argmax(axis=1) + 1.0)", "np.reciprocal(shown.argmax(axis=1) + 2.0)", METRICS),
        Mutant("evaluation/beyond.py", "np.log2(np.maximum(self.trained, 1))", "np.log2(self.trained + 1)", BEYOND),
        Mutant("evaluation/beyond.py", "np.sqrt(np.sum(", "np.add(0, np.sum(", BEYOND),
        Mutant("evaluation/beyond.py", "cosine = (squares - own)", "cosine = squares", BEYOND),
        Mutant("evaluation/beyond.py", "_shared_out(float((counts > 0).sum())", "_shared_out(float((counts > 1).sum())", BEYOND),
        Mutant("evaluation/beyond.py", "alone = ((counts == 1)", "alone = ((counts >= 1)", BEYOND),
        Mutant("evaluation/beyond.py", "np.arange(1, n_items + 1) - n_items - 1)", "np.arange(1, n_items + 1) - n_items)", BEYOND),
        Mutant("evaluation/beyond.py", ".sum(axis=1) - _tied_pairs(shown, there, counts)", ".sum(axis=1)", BEYOND),
        Mutant("evaluation/beyond.py", "(len(parts) - 1) * (parts", "len(parts) * (parts", BEYOND),
        Mutant("evaluation/metrics.py", "interactions.labels == TRAIN]", "interactions.labels != TRAIN]", METRICS),
        Mutant("evaluation/top.py", "(_LOW_HALF - ids)", "ids", RANKING),
        Mutant("evaluation/places.py", "ids < items[:, None]", "ids > items[:, None]", "evaluation/test_pair_places.py"),
        Mutant("evaluation/agreement.py", "weights[-1] += persistence**size", "pass", STABILITY),
        Mutant("evaluation/components.py", "0.5 + level / 2", "level", COMPONENTS),
    ],
    "masks and splits": [
        Mutant(_PREPARED, "_split(dataset, TEST, csr_array(test_mask))", "_split(dataset, TRAIN, csr_array(test_mask))", PREPARED),
        Mutant(_PREPARED, "_split(dataset, TEST, csr_array(test_mask))", "_split(dataset, VALIDATION, csr_array(test_mask))", PREPARED),
        Mutant(_PREPARED, "if mask_validation else train", "if False else train", PREPARED),
        Mutant(_PREPARED, "if mask_validation else train", "if True else train", PREPARED),
        Mutant(_PREPARED, "validation=_split(dataset, VALIDATION, train)", "validation=_split(dataset, TEST, train)", PREPARED),
        Mutant(_PREPARED, "interactions.pairs(TRAIN)", "interactions.pairs(TEST)", PREPARED),
        Mutant("audits/run.py", "mask_validation=plan.suite.mask_validation", "mask_validation=False", PREPARED),
        Mutant("api/steps.py", "mask_validation=suite.mask_validation", "mask_validation=False", PREPARED),
        Mutant("datasets/splits.py", "validation = held // 2", "validation = (held + 1) // 2", SPLITS),
        Mutant("datasets/splits.py", "np.where(counts >= 10,", "np.where(counts >= 16,", SPLITS),
        Mutant("datasets/splits.py", "np.random.default_rng(seed)", "np.random.default_rng(0)", SPLITS),
        Mutant("datasets/splits.py", "noise[np.lexsort((items, user_ids))] =", "noise[:] =", SPLITS),
        Mutant("datasets/splits.py", "if lasting.sum() == keep.sum():", "if True:", SPLITS),
    ],
    "noise": [
        Mutant("audits/noise/draws.py", '"noise", modality, draw,', '"noise", draw,', NOISE),
        Mutant("audits/noise/draws.py", '"noise", modality, draw,', '"noise", modality, 0,', NOISE),
        Mutant("audits/noise/draws.py", "            self._kept.clear()\n", "            pass\n", "audits/test_noise_draws.py"),
        Mutant(_NOISE, "torch.tensor(math.sqrt(condition.amount)", "torch.tensor((condition.amount)", NOISE),
        Mutant(_NOISE, "condition.amount * norms / math.sqrt(table.shape[1])", "condition.amount * norms", NOISE),
        Mutant(_NOISE, "return self.scope in {ALL, modality}", "return True", NOISE),
        Mutant(_NOISE, "return 10.0 * math.log10(signal / noise)", "return 20.0 * math.log10(signal / noise)", NOISE),
        Mutant(_NOISE, "if share >= NEARLY_ALL:", "if False:", PASSES),
        Mutant("audits/noise/audit.py", "of(noisy_tables, seed=context.seed, draw=draw)", "of(noisy_tables, seed=context.seed, draw=0)", NOISE),
        Mutant("audits/noise/audit.py", "frozen=condition.frozen)", "frozen=False)", "audits/test_noise_worlds.py"),
        Mutant("audits/noise/audit.py", "if sigma2 == config.sigma2_max:", "if False:", PASSES),
        Mutant("audits/noise/measure.py", "if condition.amount:", "if False:", PASSES),
        Mutant("audits/noise/measure.py", "            tables=noisy,\n", "            tables=tables,\n", "audits/test_audit_run.py"),
    ],
    "reach": [
        Mutant(_REACH, "exact - exact.mean(dim=1, keepdim=True)", "exact", f"{REACH}::test_a_shift_of_all_items_of_a_user_is_no_change_of_a_score"),
        Mutant(_REACH, "elif not users:", "elif False:", f"{REACH}::test_scores_that_move_without_a_list_do_not_count"),
        Mutant(_REACH, "elif not self._follows_exchange(modality):", "elif False:", REACH),
        Mutant(_REACH, "if self.ties.whole > ALL_TIED:", "if False:", REACH),
        Mutant(_REACH, "if change <= MOVED:\n            fault", "if False:\n            fault", REACH),
        Mutant(_REACH, "if change <= MOVED or not users:", "if False:", REACH),
        Mutant(_REACH, "held[modality].add_(self._noise(modality, \"after\", factor))", "held[modality] = held[modality] + self._noise(modality, \"after\", factor)", REACH),
        Mutant(_REACH, "if not self._same(self.represent(held)):", "if False:", REACH),
        Mutant(_REACH, "if not bool(table.any()):", "if False:", PASSES),
        Mutant(_REACH, "users = ranked.users if isinstance(representation, Scored) else _sampled(ranked.users)", "users = _sampled(ranked.users)", f"{REACH}::test_lists_are_looked_at_in_the_calls_of_the_audits"),
        Mutant("audits/reach/graphs.py", "if not differs and not _complete(clean):", "if False:", REACH),
        Mutant("audits/reach/graphs.py", "subject.represent(alone)) > ROUNDING:", "subject.represent(alone)) > 1e9:", f"{REACH}::test_graphs_of_two_derivations_are_found"),
        Mutant("audits/reach/graphs.py", "frozen=True)) <= ROUNDING:", "frozen=True)) < 0:", REACH),
        Mutant("audits/reach/run.py", "graphs = check_item_graphs(subject, seed=context.seed)", 'graphs = ""', PASSES),
        Mutant("audits/reach/run.py", "fault = check.after()", 'fault = ""', PASSES),
        Mutant("audits/run.py", 'reach_again(subjects[place][0], check, work, faults.get(place, ""))', "pass", PASSES),
        Mutant("checking/derivatives.py", "with sdpa_kernel(TWICE_DIFFERENTIABLE):", "if True:", "checking/test_checking_recommenders.py::test_attention_has_second_derivatives_as_in_the_sharpness_audit"),
    ],
    "intervals": [
        Mutant(_BOOTSTRAP, "np.sqrt(kept * draws / (draws - 1))", "np.sqrt(kept)", STATISTICS),
        Mutant(_BOOTSTRAP, "beyond_residuals(draw_square, residual_square) / draw_square", "1.0", STATISTICS),
        Mutant(_BOOTSTRAP, "* np.sqrt(n / (n - 1))", "* 1.0", STATISTICS),
        Mutant(_BOOTSTRAP, "tail = (1 - level) / 2\n", "tail = 1 - level\n", STATISTICS),
        Mutant(_BOOTSTRAP, "/ ((n - 1) * (draws - 1))\n    draw_square", "/ (n * draws)\n    draw_square", STATISTICS),
        Mutant(_BOOTSTRAP, "2 / (2 / (n - 1) + excess / n)", "n - 1", STATISTICS),
        Mutant("evaluation/statistics.py", "effects = _checked(perturbed[key], key, 2, len(base)) - base", "effects = _checked(perturbed[key], key, 2, len(base))", STATISTICS),
        Mutant("audits/rows.py", '"level": self.bootstrap.level,', '"level": 0.5,', ROWS),
        Mutant("audits/rows.py", '"ci_low": found.drift.low,', '"ci_low": found.drift.estimate,', ROWS),
    ],
    "judging": [
        Mutant(_JUDGING, "corrected > (1 - level) * (1 + ROUNDING)", "corrected > 2 * (1 - level) * (1 + ROUNDING)", RATES),
        Mutant(_JUDGING, "mean, square = finding.perturbed, square * (finding.perturbed / mean) ** 2", "mean, square = finding.perturbed, square", RATES),
        Mutant(_JUDGING, "if floor <= low and high <= ceiling:", "if floor <= estimate <= ceiling:", GATES),
        Mutant(_JUDGING, "elif high < floor or low > ceiling:", "elif high < floor:", GATES),
        Mutant(_JUDGING, "worst = min(rows, key=lambda row: row.rank)", "worst = max(rows, key=lambda row: row.rank)", GATES),
        Mutant(_JUDGING, "corrected = adjusted([judged[g][f].p or 0.0 for g, f in places], correction)", 'corrected = adjusted([judged[g][f].p or 0.0 for g, f in places], "none")', RATES),
        Mutant(_JUDGING, "valid = [waiver for waiver in waivers if not waiver.expired(today)]", "valid = list(waivers)", WAIVERS),
        Mutant(_RATES, "(size - rank) * p_values[place]", "p_values[place]", RATES),
        Mutant(_RATES, "size / rank * p_values[place]", "p_values[place]", RATES),
        Mutant(_RATES, "return 2 * tail(", "return tail(", RATES),
        Mutant(_RATES, "alpha = (1 - spread.level) / (2 * family)", "alpha = (1 - spread.level) / 2", RATES),
        Mutant("results/gates.py", "finding.quantity == wanted_rows", "True", GATES),
        Mutant("results/gates.py", "and finding.reference == gate.reference", "", GATES),
        Mutant("results/waivers.py", "return today > self.expires", "return today >= self.expires", WAIVERS),
        Mutant("results/verdict.py", "    if broken:\n", "    if False:\n", VERDICT),
        Mutant("results/verdict.py", 'if result.severity == "error"]\n    failed', "]\n    failed", VERDICT),
    ],
    "gates in one line and forms for builds": [
        Mutant(_GATE_TEXT, "bound.number / 100 if bound.percent", "bound.number if bound.percent", GATE_TEXT),
        Mutant(_GATE_TEXT, "number - Decimal(STABILITY[form.kind].equal) if form.stable else number", "number", GATE_TEXT),
        Mutant("audits/gate_parts.py", 'return "min" if self.sign[0] == ">" else "max"', 'return "min"', GATE_TEXT),
        Mutant(_GATE_TEXT, "down = each.number if each.side ==", "down = -each.number if each.side ==", GATE_TEXT),
        Mutant("audits/plan_checks.py", "            if refused:\n                raise refused[0]", "            pass", GATE_TEXT),
        Mutant("audits/judged.py", "if row.subject in side.parameters]", "]", BUILD_FORMS),
        Mutant("report/forms/comment.py", "earlier = then.clean / clean if clean else None", "earlier = then.clean", BUILD_FORMS),
        Mutant("report/forms/comment.py", "item = max(items, key=harm)", "item = min(items, key=harm)", BUILD_FORMS),
        Mutant("report/forms/openmetrics.py", 'int(gate.effective == "pass")', 'int(gate.status == "pass")', BUILD_FORMS),
        Mutant("report/forms/openmetrics.py", "int(word == report.verdict)", "1", BUILD_FORMS),
        Mutant("report/forms/static_analysis.py", 'report.verdict != "error"', "True", BUILD_FORMS),
        Mutant("report/forms/troubles.py", 'if report.verdict == "error" and not shown:', "if False:", BUILD_FORMS),
        Mutant("report/forms/markdown.py", '    if shown.startswith("/"):', "    if False:", "report/test_forms.py"),
    ],
    "training and resume": [
        Mutant(_TRAINER, "if metric > counters.best_metric:", "if metric >= counters.best_metric - 1:", TRAINER),
        Mutant(_TRAINER, "    module.load_state_dict(best)\n", "", TRAINER),
        Mutant(_TRAINER, "strategy.load_state_dict(strategy_state)", "pass", TRAINER),
        Mutant(_TRAINER, "config.decay_rate ** (epoch / config.decay_epochs)", "config.decay_rate ** epoch", "training/test_epochs.py"),
        Mutant(_TRAINER, "pause) and counters.waited < config.patience", "pause) and counters.waited <= config.patience", TRAINER),
        Mutant(_CHECKPOINTS, 'generator.set_state(tensors["generator"])', "pass", TRAINER),
        Mutant(_CHECKPOINTS, 'optimizer.load_state_dict({"state": state', 'optimizer.load_state_dict({"state": {}', TRAINER),
        Mutant("training/sampling.py", "negatives[open_rows] = fresh", "pass", SAMPLING),
        Mutant("training/sampling.py", "return positives.keys[place] == wanted", "return positives.keys[place] == -1", SAMPLING),
        Mutant("training/sampling.py", "candidates = torch.unique(items)", "candidates = torch.arange(n_items, device=items.device)", SAMPLING),
        Mutant("runs/subjects.py", "prepared.validation, VALIDATION)", "prepared.test, VALIDATION)", STORE),
    ],
    "conditions": [
        Mutant("results/conditions.py", 'if condition.label not in ("", label):', "if False:", CONDITIONS),
        Mutant("results/conditions.py", 'return float(f"{value:g}")', "return value", CONDITIONS),
        Mutant("results/conditions.py", '"frozen graphs" if condition.graphs == "frozen" else "", scope)', '"", scope)', CONDITIONS),
        Mutant("results/labels.py", "found is not None and found.label == label", "found is not None", CONDITIONS),
        Mutant("results/upgrade.py", ' and not vector.endswith("_input")', "", CONDITIONS),
        Mutant("results/report.py", "form = as_version_2 if version", "form = dict if version", CONDITIONS),
        Mutant("results/selection.py", "return bool(value == wanted)", "return value in (None, wanted)", SELECTION),
        Mutant("results/selection.py", "if not kinds:", "if False:", SELECTION),
        Mutant("audits/plan_checks.py", "if any(select.wants(each) for each in conditions):", "if True:", SELECTION),
    ],
    "store keys": [
        Mutant(_STORE, '            "data": prepared.dataset.digest,\n', "", STORE),
        Mutant(_STORE, '"features": prepared.features_digest(spec.shrink) if', '"features": None if', STORE),
        Mutant(_STORE, '            "spec": spec_json(spec),\n', "", STORE),
        Mutant(_STORE, '            "trained_by": TRAINED_BY,\n', "", STORE),
        Mutant(_STORE, '            "torch": torch.__version__,\n            "device": prepared', '            "device": prepared', STORE),
        Mutant("runs/specs.py", '"seed": spec.seed,', '"seed": 0,', STORE),
        Mutant("runs/specs.py", '"training_noise": spec.training_noise,', '"training_noise": "",', STORE),
    ],
    "graphs": [
        Mutant("models/graphs/user_item.py", "share = 1 / (layers + 1)", "share = 1 / max(1, layers)", GRAPHS),
        Mutant("models/graphs/user_item.py", "item_scale[items]", "user_scale[users]", GRAPHS),
        Mutant("models/graphs/item_item.py", "weight = 1 / (neighbours.items.shape[1] + offset)", "weight = 1.0", NEAREST),
        Mutant("models/graphs/item_item.py", "scale = inverse_root(", "scale = 1 / (1e-9 + ", SPARSE),
        Mutant("models/graphs/nearest.py", "NEAR = 1e-5\n", "NEAR = 0.0\n", NEAREST),
        Mutant("models/configs.py", "return self.image_weight, 1 - self.image_weight", "return 1 - self.image_weight, self.image_weight", "models/test_golden_models.py"),
        Mutant("runs/trained.py", "self.graphs if frozen else graphs)", "self.graphs)", "audits/test_noise_worlds.py"),
    ],
    "smore and mentor": [
        Mutant("models/graphs/sparse.py", '"amax", include_self=False)\n        ids', '"amax", include_self=True)\n        ids', SMORE),
        Mutant("models/smore.py", "generator) / (1 - self.rate)", "generator)", SMORE),
        Mutant("models/smore.py", 'repeats = self.rows is not None and self.rows.device.type != "cpu"', "repeats = False", SMORE),
        Mutant("models/smore.py", "[:, 1 : (width + 1) // 2]", "[:, 1:]", SMORE),
        Mutant("models/smore.py", "fused * spectrum", "fused + spectrum", SMORE),
        Mutant("models/smore.py", "side / (len(parts) + 1)", "side / len(parts)", SMORE),
        Mutant("models/configs.py", '"image": self.image_neighbours, "text": self.text_neighbours', '"image": self.text_neighbours, "text": self.image_neighbours', SMORE),
        Mutant("models/mentor.py", "/ (copies * size - 1)", "/ (copies * size)", MENTOR),
        Mutant("models/mentor.py", "x + x.detach().sign() * (config", "x + (config", MENTOR),
        Mutant("models/mentor.py", "whole_contrast(one.items, other.items, tau)", "whole_contrast(one.users, other.users, tau)", MENTOR),
        Mutant("models/mentor.py", "(self.user_weights * users).flatten(1)", "users.flatten(1)", MENTOR),
        Mutant("models/mentor.py", "queries, keys = unit_rows(queries) / temperature, unit_rows(keys)", "queries = queries / temperature", MENTOR),
        Mutant("training/replay.py", ' and not getattr(model, "draws_noise", False)', "", "training/test_replay.py::test_an_instance_that_draws_noise_is_not_replayed"),
        Mutant("models/graphs/principal.py", "means = np.bincount(group, weights) / np.bincount(group)", "means = np.bincount(group, weights)", "models/test_pgl.py"),
        Mutant("models/pgl.py", "weight = self.config.contrast_weight / 2", "weight = self.config.contrast_weight", "models/test_pgl.py"),
        Mutant("models/graphs/denoised.py", "(roots[rows] * roots[columns])", "(roots[rows] * roots[rows])", DA_MRS),
        Mutant("models/graphs/denoised.py", "c >= each.mean - _EQUAL for c, each", "c > each.mean for c, each", DA_MRS),
        Mutant("models/da_mrs.py", "own.var(0)", "own.var(0, correction=0)", DA_MRS),
        Mutant("models/pseudo_neighbours.py", "alpha=len(units) - 2", "alpha=0", DA_MRS),
    ],
    "modalities": [
        Mutant("models/slmrec.py", "for modality in self.modalities:\n            query =", 'for modality in ("image", "text"):\n            query =', MODALITIES),
        Mutant("models/lgmrec.py", "list(combinations(self.modalities, 2))", "list(combinations(self.modalities, 2))[:1]", MODALITIES),
        Mutant("models/lgmrec.py", ".sum() / len(pairs)", ".sum()", MODALITIES),
        Mutant("models/configs.py", "self.modality_weights[name] / total", "1 / len(modalities)", MODALITIES),
        Mutant("models/mmgcn.py", 'm == "image", config', 'm != "text", config', MODALITIES),
        Mutant("modalities.py", "*sorted(there - set(MODALITIES))", "*(there - set(MODALITIES))", MODALITIES),
        Mutant("encoders/features.py", "if modality not in self.from_files}", "}", AUDITED),
        Mutant("audits/kind.py", "if scope not in MODALITIES or", "if False and", AUDITED),
        Mutant("runs/specs.py", "if declared and not read:", "if False:", AUDITED),
        Mutant("datasets/feature_files.py", "if fault := modality_fault(name, (*MODALITIES, *found)):", "if fault := '':", "datasets/test_import_counts.py"),
    ],
    "pyg": [
        Mutant("adapters/pyg/recommender.py", "torch.cat([edges, edges.flip(0)], dim=1)", "edges", PYG_MODELS),
        Mutant("adapters/pyg/recommender.py", "(found[first:], found[:first]) if self.items_first else", "(found[:first], found[first:]) if self.items_first else", PYG_MODELS),
        Mutant("adapters/pyg/recommender.py", "torch.manual_seed(derive_seed(batch.seed, \"network\"))", "pass", PYG_MODELS),
        Mutant("adapters/pyg/recommender.py", "if table._version != versions[m]", "if False", PYG_MODELS),
        Mutant("adapters/pyg/edges.py", "labels[chosen] = MASKS.index(name)", "labels[chosen] = 2 - MASKS.index(name)", PYG_GRAPHS),
        Mutant("adapters/pyg/edges.py", "users[labels > 0], items[labels > 0]", "users, items", PYG_GRAPHS),
        Mutant("adapters/pyg/edges.py", "(edges[1], edges[0]) if places.flipped else", "(edges[0], edges[1]) if places.flipped else", PYG_GRAPHS),
        Mutant("adapters/pyg/importing.py", "seed=seed)[place]", "seed=seed)[np.sort(place)]", PYG_GRAPHS),
    ],
    "encoders": [
        Mutant("encoders/families.py", 'DualFamily("SiglipModel", full=True, lower=True)', 'DualFamily("SiglipModel", full=True, lower=True, mask=True)', f"{DUAL}[siglip]"),
        Mutant("encoders/families.py", 'DualFamily("SiglipModel", full=True, lower=True)', 'DualFamily("SiglipModel", lower=True)', f"{DUAL}[siglip]"),
        Mutant("encoders/families.py", 'DualFamily("AltCLIPModel", mask=True,', 'DualFamily("AltCLIPModel", mask=False,', f"{DUAL}[altclip]"),
        Mutant("encoders/families.py", 'TextFamily("Qwen3Model", end="<|endoftext|>")', 'TextFamily("Qwen3Model")', f"{HF_NETWORKS}::test_a_decoder_without_its_end_token_in_the_template_gets_it"),
        Mutant("encoders/sentence_modules.py", '"pooling_mode_cls_token": "cls"', '"pooling_mode_cls_token": "mean"', f"{HF_NETWORKS}::test_texts_are_pooled_as_the_folder_says[bge]"),
        Mutant("encoders/sentence_modules.py", '(states * weights).sum(dim=1) / count,', 'states.mean(dim=1),', f"{HF_NETWORKS}::test_texts_are_pooled_as_the_folder_says[Bert]"),
        Mutant("encoders/sentence_modules.py", "states[rows, mask.sum(dim=1) - 1]", "states[:, -1]", f"{HF_NETWORKS}::test_texts_are_pooled_as_the_folder_says[qwen3]"),
        Mutant("encoders/hf_text.py", "(0 if padding is None else padding + 1)", "0", f"{HF_NETWORKS}::test_texts_are_pooled_as_the_folder_says[XLMRoberta]"),
        Mutant("encoders/hf_text.py", "else tokenizer.limit", "else None", f"{HF_NETWORKS}::test_the_limit_of_the_tokenizer_holds_if_the_folder_has_no_other"),
        Mutant("encoders/hf_image.py", "any(each % step for each in rule.input)", "False", f"{HF_NETWORKS}::test_pictures_that_the_model_would_read_in_part_are_refused"),
        Mutant("encoders/tokenizing.py", "longest - len(end), direction", "longest, direction", f"{HF_NETWORKS}::test_siglip_without_its_end_token_in_the_template_gets_it"),
        Mutant("encoders/text_modules.py", "(options.width is not None and options.normalise is None)", "False", f"{HF_NETWORKS}::test_a_vector_is_cut_and_then_normalised"),
        Mutant("encoders/frozen.py", "pieces[0][0] * pieces[0][1][:, None])", "pieces[0][0])", f"{HF_ENCODERS}::test_fusion_is_the_sum_or_the_concatenation"),
        Mutant("encoders/weights.py", "*tokenizer_files(folder), *module_files(folder)", "*tokenizer_files(folder)", f"{HF_NETWORKS}::test_another_pooling_shows_and_is_part_of_the_identity"),
    ],
    "filters": [
        # Perturbed after the filter: what the clean table becomes, plus the displacement.
        *[Mutant(_FILTERED, "filtered = self.table(modality, table)", f"filtered = {_FIRST}", f"{FILTER_LAST}[{kind}]") for kind in ("noise", "merchant", "missing", "worst", "guarantee", "migration", "cause")],
        Mutant(_FILTERED, "            return self.table(modality, table)\n        # A graph", f"            return {_FIRST}\n        # A graph", f"{FILTER_LAST}[sharpness]"),
    ],
    "published files": [
        Mutant("datasets/prepare/addresses.py", "return bool(found.is_global) and not any(refused)", "return True", LINKS),
        Mutant("datasets/prepare/addresses.py", "return is_public(str(found.ipv4_mapped))", "return True", LINKS),
        Mutant("datasets/prepare/addresses.py", "if private is not None and not allow_private:", "if private == addresses[0] and not allow_private:", LINKS),
        Mutant("datasets/prepare/download.py", "address = place.addresses[self._failures[key] % len(place.addresses)]", "address = place.host", LINKS),
        Mutant("datasets/prepare/download.py", "allow_private=self.allow_private)", "allow_private=True)", LINKS),
        Mutant("datasets/prepare/download.py", "if size > self.most_bytes:", "if False:", LINKS),
        Mutant("datasets/prepare/picture_store.py", "return hashlib.sha256(content).hexdigest() == digest", "return True", LINKS),
        Mutant("datasets/prepare/picture_store.py", "self.last + self.step - self.clock()", "0.0", LINKS),
        Mutant("datasets/prepare/web_pictures.py", "entries = [store.entry(digest)", "entries = [None] + [store.entry(digest)", LINKS),
        Mutant("datasets/prepare/build.py", 'imported="" if unfinished else key', "imported=key", LINKS),
        Mutant("datasets/prepare/cnn_features.py", "_mean(table, np.flatnonzero(found))", "0", PUBLISHED),
        Mutant("datasets/prepare/cnn_features.py", "if found[row]:", "if False:", PUBLISHED),
        Mutant("datasets/prepare/labels.py", "item_by_rank[matched.items]", "matched.items", PUBLISHED),
        Mutant("datasets/prepare/labels.py", "values[np.argsort(first)]", "values", PUBLISHED),
        Mutant("datasets/prepare/labels.py", "if found < len(split.interactions.users) and", "if False and", PUBLISHED),
        Mutant("datasets/prepare/isomorphism.py", "one.item_ids[items_of]", "items_of", PUBLISHED),
        Mutant("datasets/prepare/published.py", "count != known[name]", "count > known[name]", PUBLISHED),
        Mutant("datasets/prepare/content.py", "bool(row.description) for", "bool(row.title) for", PUBLISHED),
        Mutant("datasets/prepare/layouts.py", 'columns=("item", "user", "rating", "timestamp")', 'columns=("user", "item", "rating", "timestamp")', PUBLISHED),
        Mutant("datasets/formats/amazon.py", 'image.get("variant") != "MAIN"', 'image.get("variant") == "MAIN"', METADATA),
        Mutant("datasets/formats/amazon.py", "elif item in seen:", "elif False:", METADATA),
        Mutant("untrusted/literals.py", "if level > MOST_NESTED:", "if False:", METADATA),
    ],
}
# fmt: on
"""Area -> its faults."""
