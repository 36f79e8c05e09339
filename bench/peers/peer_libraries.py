"""The contenders. Each is made once from the same forest and scores the same float32 rows in memory.

A contender has `name`, `version`, `settings` (one line for people), `is_same_forest`, run(cores), which is what is timed,
and path_sums(), which makes what run() returned comparable. Its library is imported when it is made.
"""

import concurrent.futures
import ctypes
import importlib.metadata
import json
import subprocess

import numpy as np

from exported_forest import STEPS, c_source

BLOCK_ROWS = 65536


class Contender:
    is_same_forest = True
    is_avvik = False

    def path_sums(self, result):
        """What run() returned as sums of path lengths; for a forest of its own: anything that grows with them."""
        return np.asarray(result, dtype=np.float64).ravel()


def in_threads(cores, n_rows, score):
    """score(thread, first row, number of rows) over blocks of rows, on `cores` threads that take block after block."""
    firsts = iter(range(0, n_rows, BLOCK_ROWS))

    def work(thread):
        for first in firsts:
            score(thread, first, min(BLOCK_ROWS, n_rows - first))

    if cores == 1:
        work(0)
        return
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        for result in [pool.submit(work, thread) for thread in range(cores)]:
            result.result()


# --- avvik ----------------------------------------------------------------------------------------------------------


class Rows(ctypes.Structure):
    """struct avvik_rows of include/avvik/engine.h"""
    _fields_ = [("values", ctypes.c_void_p), ("n_rows", ctypes.c_size_t), ("row_stride", ctypes.c_size_t),
                ("column_stride", ctypes.c_size_t), ("groups", ctypes.c_void_p)]


class Scores(ctypes.Structure):
    """struct avvik_scores of include/avvik/engine.h"""
    _fields_ = [(name, ctypes.c_void_p) for name in ("path_sum", "deviation", "deviation_feature", "beyond", "missing",
                                                     "column_missing", "column_infinite", "joint")]


class Error(ctypes.Structure):
    """struct avvik_error of include/avvik/status.h"""
    _fields_ = [("status", ctypes.c_int), ("foreign_code", ctypes.c_long), ("text", ctypes.c_char * 1024)]


class Avvik(Contender):
    """libavvik through its public functions. It does more than the others: path sums and all z-score results."""
    is_avvik = True

    def __init__(self, library, model, backend, values):
        self.dll, self.values, self.error = ctypes.CDLL(library), values, Error()
        self.name, self.version = f"avvik {backend}", None
        self.settings = f"libavvik, backend {backend}, forest and z-scores; threads take blocks of {BLOCK_ROWS:,} rows"
        handle, self.engine = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.dll.avvik_model_load(model.encode(), ctypes.byref(handle), ctypes.byref(self.error)))
        self.check(self.dll.avvik_engine_open(handle, backend.encode(), ctypes.byref(self.engine),
                                                  ctypes.byref(self.error)))
        self.dll.avvik_model_free(handle)
        self.workers = []
        n = len(values)
        self.results = [np.zeros(n, np.int32), np.zeros(n, np.float32), *(np.zeros(n, np.uint16) for _ in range(3))]

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.error.text.decode())

    def worker(self):
        worker = ctypes.c_void_p()
        self.check(self.dll.avvik_worker_create(self.engine, ctypes.c_size_t(BLOCK_ROWS), ctypes.byref(worker),
                                                    ctypes.byref(self.error)))
        return worker

    def run(self, cores):
        while len(self.workers) < cores:
            self.workers.append(self.worker())

        def score(thread, first, n_rows):
            rows = Rows(self.values[first:].ctypes.data, n_rows, self.values.shape[1], 1, None)
            scores = Scores(*(array[first:].ctypes.data for array in self.results))
            self.check(self.dll.avvik_worker_score(self.workers[thread], ctypes.byref(rows), ctypes.byref(scores),
                                                       ctypes.byref(self.error)))

        in_threads(cores, len(self.values), score)
        return self.results[0]

    def path_sums(self, result):
        return result / STEPS


# --- the same forest ------------------------------------------------------------------------------------------------


class GeneratedC(Contender):
    name = "generated C"

    def __init__(self, forest, values, folder, compiler="gcc"):
        source, library = folder / "generated_forest.c", folder / "generated_forest.so"
        flags = ["-O3", "-march=native", "-shared", "-fPIC"]
        source.write_text(c_source(forest))
        subprocess.run([compiler, *flags, "-o", library, source], check=True)
        answer = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True)
        self.version = f"({compiler} {answer.stdout.strip()})"
        self.settings = f"if and else, tree by tree over blocks of 512 rows; {compiler} {' '.join(flags[:2])}"
        self.dll, self.values, self.sums = ctypes.CDLL(str(library)), values, np.zeros(len(values), np.int32)

    def run(self, cores):
        def score(_, first, n_rows):
            self.dll.path_sums(ctypes.c_void_p(self.values[first:].ctypes.data), ctypes.c_size_t(n_rows),
                                   ctypes.c_void_p(self.sums[first:].ctypes.data))

        in_threads(cores, len(self.values), score)
        return self.sums

    def path_sums(self, result):
        return result / STEPS


class ScikitLearn(Contender):
    """An IsolationForest whose trees are replaced by avvik's, in scikit-learn's own Tree."""
    name = "scikit-learn"
    settings = ("IsolationForest.score_samples, the same forest in its own Tree; threads of joblib, assume_finite, "
                "working_memory {} MiB (the best of 1, 4, 16, 64, 1024)")

    def __init__(self, forest, values, working_memory=64):
        import joblib
        import sklearn
        from sklearn.ensemble import IsolationForest
        from sklearn.tree._tree import Tree

        self.version, self.values, self.working_memory = sklearn.__version__, values, working_memory
        self.settings = self.settings.format(working_memory)
        self.threads = lambda n: joblib.parallel_config(backend="threading", n_jobs=n)
        self.configured = lambda: sklearn.config_context(assume_finite=True, working_memory=self.working_memory)
        model = IsolationForest(n_estimators=len(forest.trees), max_samples=forest.sample).fit(values[:4096])
        node_type = model.estimators_[0].tree_.__getstate__()["nodes"].dtype
        for estimator, tree in zip(model.estimators_, forest.trees):
            nodes = np.zeros(len(tree), dtype=node_type)
            nodes["left_child"], nodes["right_child"] = tree.left, tree.right
            nodes["feature"] = np.where(tree.is_leaf, -2, tree.feature)
            nodes["threshold"] = np.where(tree.is_leaf, -2.0, tree.before.astype(np.float64))
            nodes["n_node_samples"] = nodes["weighted_n_node_samples"] = tree.rows
            estimator.tree_ = Tree(forest.n_features, np.array([1], dtype=np.intp), 1)
            estimator.tree_.__setstate__({"max_depth": forest.height, "node_count": len(tree), "nodes": nodes,
                                          "values": np.zeros((len(tree), 1, 1))})
        # It adds depth (from 1) and c(n) and takes 1 off. Its c(n) is an approximation, avvik's is exact.
        model._decision_path_lengths = [tree.depth + 1.0 for tree in forest.trees]
        model._average_path_length_per_tree = [tree.value - tree.depth for tree in forest.trees]
        self.model = model
        n = model._max_samples
        self.scale = len(forest.trees) * (2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n)

    def score(self, values, cores):
        with self.configured(), self.threads(cores):
            return self.model.score_samples(values)

    def run(self, cores):
        return self.score(self.values, cores)

    def path_sums(self, result):
        return -np.log2(-result) * self.scale


class XGBoost(Contender):
    name = "XGBoost"
    settings = "Booster.inplace_predict, the same forest as a JSON model (leaf = path length), nthread"

    def __init__(self, forest, values, folder):
        import xgboost

        self.version, self.values = xgboost.__version__, values
        blank = xgboost.train({"max_depth": 1, "objective": "reg:squarederror", "base_score": 0},
                              xgboost.DMatrix(values[:64], values[:64, 0]), num_boost_round=1)
        model = json.loads(blank.save_raw("json").decode())
        booster = model["learner"]["gradient_booster"]["model"]
        booster["gbtree_model_param"]["num_trees"] = str(len(forest.trees))
        booster["iteration_indptr"] = list(range(len(forest.trees) + 1))
        booster["tree_info"] = [0] * len(forest.trees)
        booster["trees"] = [self.tree(number, tree, forest.n_features) for number, tree in enumerate(forest.trees)]
        path = folder / "xgboost.json"
        path.write_text(json.dumps(model))
        self.booster = xgboost.Booster(model_file=path)

    @staticmethod
    def tree(number, tree, n_features):
        parent = tree.parent
        parent[0] = 2147483647
        zeros = [0] * len(tree)
        condition = np.where(tree.is_leaf, tree.value, tree.threshold).tolist()
        return {"base_weights": condition, "categories": [], "categories_nodes": [], "categories_segments": [],
                "categories_sizes": [], "default_left": zeros, "id": number, "left_children": tree.left.tolist(),
                "loss_changes": [0.0] * len(tree), "parents": parent.tolist(), "right_children": tree.right.tolist(),
                "split_conditions": condition, "split_indices": tree.feature.tolist(), "split_type": zeros,
                "sum_hessian": tree.rows.astype(float).tolist(),
                "tree_param": {"num_deleted": "0", "num_feature": str(n_features), "num_nodes": str(len(tree)),
                               "size_leaf_vector": "1"}}

    def run(self, cores):
        self.booster.set_param({"nthread": cores})
        return self.booster.inplace_predict(self.values, validate_features=False)


class OnnxRuntime(Contender):
    name = "ONNX Runtime"
    settings = "TreeEnsembleRegressor, the same forest, all optimisations, intra_op_num_threads"

    def __init__(self, forest, values, folder):
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper

        self.version, self.values = onnxruntime.__version__, values
        attributes = {"n_targets": 1, "aggregate_function": "SUM", "post_transform": "NONE"}
        trees = forest.trees
        sizes = [len(tree) for tree in trees]
        attributes["nodes_treeids"] = np.repeat(np.arange(len(trees)), sizes)
        attributes["nodes_nodeids"] = np.concatenate([np.arange(size) for size in sizes])
        attributes["nodes_featureids"] = np.concatenate([tree.feature for tree in trees])
        attributes["nodes_values"] = np.concatenate([tree.before for tree in trees])
        attributes["nodes_truenodeids"] = np.concatenate([np.maximum(tree.left, 0) for tree in trees])
        attributes["nodes_falsenodeids"] = np.concatenate([np.maximum(tree.right, 0) for tree in trees])
        is_leaf = np.concatenate([tree.is_leaf for tree in trees])
        attributes["nodes_modes"] = np.where(is_leaf, "LEAF", "BRANCH_LEQ")
        attributes["target_treeids"] = attributes["nodes_treeids"][is_leaf]
        attributes["target_nodeids"] = attributes["nodes_nodeids"][is_leaf]
        attributes["target_ids"] = np.zeros(is_leaf.sum(), dtype=np.int64)
        attributes["target_weights"] = np.concatenate([tree.value for tree in trees])[is_leaf]
        attributes = {name: getattr(value, "tolist", lambda value=value: value)() for name, value in attributes.items()}
        node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, forest.n_features])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
        model = helper.make_model(helper.make_graph([node], "forest", [x], [y]), ir_version=8,
                                  opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)])
        path = folder / "forest.onnx"
        onnx.save(model, path)
        self.sessions = {}
        for cores in (1, 2):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = cores, 1
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
            # Or its threads would spin through the turns of the others.
            options.add_session_config_entry("session.force_spinning_stop", "1")
            self.sessions[cores] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, cores):
        return self.sessions[cores].run(None, {"x": self.values})[0]


class Coniferest(Contender):
    """Its Tree is made as its pickle makes it: left child, feature or number of the leaf, threshold or leaf value."""
    name = "coniferest"
    settings = ("CoreForest.calc_paths_sum as IsolationForest calls it, the same forest in its own Tree (float32), "
                "num_threads, its own batch size (larger ones are no faster)")

    def __init__(self, forest, values):
        from coniferest._core import CoreForest, Tree

        self.version, self.values = importlib.metadata.version("coniferest"), values
        trees = []
        for tree in forest.trees:
            number = np.cumsum(tree.is_leaf) - 1
            trees.append(Tree(np.where(tree.is_leaf, 0, tree.left).astype(np.uint32),
                              np.where(tree.is_leaf, number, tree.feature).astype(np.uint32),
                              np.where(tree.is_leaf, tree.value, tree.before).astype(np.float32),
                              np.zeros(len(tree), np.float32), forest.sample))
        self.forests = {cores: CoreForest(trees, n_features=forest.n_features, num_threads=cores)
                        for cores in (1, 2)}
        self.batch_rows = -(-(1 << 14) // len(trees)) # its default: sampletrees_per_batch

    def run(self, cores):
        return self.forests[cores].calc_paths_sum(self.values, batch_size=self.batch_rows)


# --- a forest of its own --------------------------------------------------------------------------------------------


class Isotree(Contender):
    name = "isotree"
    is_same_forest = False
    settings = ("IsolationForest(ndim=1, missing_action='fail') of the same shape, its own forest; built with "
                "-march=native where pip compiles it; predict(output='avg_depth'), row-major float32, nthreads")

    def __init__(self, forest, values):
        import isotree

        self.version, self.values = importlib.metadata.version("isotree"), values
        self.model = isotree.IsolationForest(ndim=1, ntrees=len(forest.trees), sample_size=forest.sample,
                                             max_depth=forest.height, missing_action="fail", random_seed=1, nthreads=1)
        self.model.fit(np.asfortranarray(values))

    def run(self, cores):
        self.model.nthreads = cores
        return self.model.predict(self.values, output="avg_depth")


def make_all(forest, values, folder):
    """Every contender that can be made here, and {name: reason} for the rest."""
    makers = {"generated C": lambda: GeneratedC(forest, values, folder),
              "XGBoost": lambda: XGBoost(forest, values, folder),
              "coniferest": lambda: Coniferest(forest, values),
              "ONNX Runtime": lambda: OnnxRuntime(forest, values, folder),
              "scikit-learn": lambda: ScikitLearn(forest, values),
              "isotree": lambda: Isotree(forest, values)}
    made, left_out = [], {}
    for name, make in makers.items():
        try:
            made.append(make())
        except (ImportError, OSError, subprocess.CalledProcessError, TypeError, AttributeError, KeyError) as reason:
            left_out[name] = f"{type(reason).__name__}: {reason}"
    return made, left_out
