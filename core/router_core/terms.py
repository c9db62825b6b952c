"""The words that the rule policies look for, as data.

Source: written for this project from everyday vocabulary, in English and Spanish; taken from no published list and
fitted to no benchmark. The categories are those that the scores of ``DifficultyPolicy`` and ``ComplexityPolicy`` name.

Notation, one line being a comma-separated list of terms:

- ``a/b``: two ways to write one term, which counts once however often and in whichever form it occurs;
- ``algorithm~s~ic``: the word, and the word with each of these endings;
- ``first … then``: the parts in this order with anything between them.

Capitals, apostrophes and hyphens do not matter, accents may be missing ("step-by-step" is "step by step").
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

Category: TypeAlias = Literal["reasoning", "technical", "system_design", "code", "difficulty", "multi_step"]

TERMS: Mapping[Category, Mapping[str, str]] = {
    "reasoning": {
        "en": """
            why, explain~s~ed~ing/explanation~s, analyze~s~d/analyse~s~d/analyzing/analysing/analysis
            reason~s~ed~ing
            prove~s~d~n/proof~s/proving, derive~s~d/deriving/derivation~s, deduce~s~d/deduction~s
            infer~s~red/inference~s
            justify/justifies/justified/justification~s, compare~s~d/comparing/comparison~s, contrast~s~ed~ing
            evaluate~s~d/evaluating/evaluation~s, assess~es~ed~ing/assessment~s, critique~s~d
            argue~s~d/argument~s
            interpret~s~ed/interpretation~s, conclude~s~d/conclusion~s
            hypothesis/hypotheses/hypothesize/hypothesise
            assumption~s, implication~s, consequence~s, contradict~s~ion~ions
            counterexample~s/counter example~s
            logic~al~ally, trade off~s/tradeoff~s, pros and cons, advantages and disadvantages
            cause~s of/caused by
            root cause~s, what if, how come, what would happen, think about/think through, weigh up
            draw conclusions
        """,
        "es": """
            por qué, explica~r~n/explique~n/explícame/explíqueme/explicando/explicación
            analiza~r~n/analice~n/analizando/análisis
            razona~r/razone/razonamiento~s
            demuestra~n/demostrar/demuestre/demostración/demostraciones/demuéstralo
            deduce~n/deducir/deduzca/deducción, deriva~r/derive, infiere/inferir/inferencia~s
            justifica~r/justifique/justificación, compara~r~n/compare~n/comparando/comparación/comparativa
            contrasta~r/contraste
            evalúa~n/evaluar/evalúe/evaluación, valora~r/valore/valoración, argumenta~r/argumente/argumento~s
            interpreta~r/interprete/interpretación, concluye/concluir/conclusión/conclusiones, hipótesis
            suposición/suposiciones/supuesto~s, implicación/implicaciones, consecuencia~s
            contradicción/contradicciones
            contraejemplo~s, lógica, ventajas y desventajas/ventajas e inconvenientes/pros y contras, causa~s de
            causa raíz, qué pasaría si/qué ocurriría si, a qué se debe, reflexiona~r/reflexione
        """,
    },
    "technical": {
        "en": """
            algorithm~s~ic, database~s, data structure~s, api~s, protocol~s, encryption/encrypt~s~ed
            cryptography/cryptographic
            compiler~s, operating system~s, kernel~s, mutex~es/deadlock~s/race condition~s
            concurrency/concurrent/multithreading
            recursion/recursive~ly, time complexity/space complexity/big o
            binary tree~s/binary search/linked list~s
            hash table~s/hash map~s/hashmap~s, regular expression~s, query plan~s/sql query/sql queries
            foreign key~s, tcp/udp
            http~s, tls/ssl, oauth, authentication, firewall~s, virtual machine~s, machine learning
            deep learning
            neural network~s, transformer~s, embedding~s, gradient descent/gradient~s, backpropagation
            overfitting
            reinforcement learning, linear regression/logistic regression/regression, classifier~s, dataset~s
            theorem~s, lemma~s, irrational~s, equation~s, polynomial~s, derivative~s, integral~s, matrix/matrices
            eigenvalue~s/eigenvector~s
            vector space~s/vector~s, differential equation~s, logarithm~s/logarithmic, probability/probabilities
            statistical~ly
            standard deviation/variance, bayesian/bayes, distribution function/normal distribution
            combinatorics/permutation~s
            prime number~s/modular arithmetic, topology/topological, quantum, thermodynamics/entropy, relativity
            momentum
            electromagnetic/electromagnetism, voltage~s, semiconductor~s, molecule~s/molecular, enzyme~s
            genome~s/genomic/dna
            mitochondria~l, photosynthesis, stoichiometry, isotope~s, catalyst~s, pharmacology/pharmacokinetics
            pathology
            econometric~s, elasticity, game theory/nash equilibrium, amortization/amortisation, jurisdiction~s
            liability/liabilities
        """,
        "es": """
            algoritmo~s, base de datos/bases de datos, estructura~s de datos, protocolo~s, cifrado/encriptación
            criptografía
            compilador~es, sistema~s operativo~s, núcleo del sistema
            concurrencia/concurrente~s/condición de carrera
            recursión/recursivo~s/recursiva~s/recursividad, complejidad temporal/complejidad espacial
            árbol binario/búsqueda binaria/lista enlazada, tabla hash/tablas hash
            expresión regular/expresiones regulares
            consulta~s sql, clave foránea/clave externa, autenticación, cortafuegos, máquina~s virtual~es
            aprendizaje automático, aprendizaje profundo, red neuronal/redes neuronales
            descenso de gradiente/gradiente~s
            aprendizaje por refuerzo, regresión lineal/regresión logística/regresión, clasificador~es
            teorema~s, lema, irracional~es, ecuación/ecuaciones, polinomio~s, derivada~s, integral~es, matriz/matrices
            autovalor~es/autovector~es
            espacio vectorial/vector~es, ecuación diferencial/ecuaciones diferenciales, logaritmo~s
            probabilidad~es, estadístico~s
            desviación típica/desviación estándar/varianza, bayesiano~s/bayesiana~s, distribución normal
            combinatoria/permutaciones
            número~s primo~s, topología, cuántica~s/cuántico~s, termodinámica/entropía, relatividad
            electromagnético/electromagnetismo
            voltaje~s, semiconductor~es, molécula~s/molecular~es, enzima~s, genoma~s/adn, fotosíntesis
            estequiometría, isótopo~s
            catalizador~es, farmacología, patología, teoría de juegos/equilibrio de nash, amortización
            jurisdicción
        """,
    },
    "system_design": {
        "en": """
            system design, architecture~s/architectural, microservice~s/micro service~s
            distributed system~s/distributed
            scalability/scalable/scale out/scale up, load balancer~s/load balancing
            high availability/highly available
            fault tolerance/fault tolerant/resilience, sharding/shard~s/partitioning, replication/replica~s
            failover
            message queue~s/message broker~s, event driven/event sourcing, publish subscribe/pub sub
            kafka/rabbitmq
            cache invalidation/caching/cache layer, rate limiting/rate limiter~s, throughput
            latency budget/low latency/tail latency
            eventual consistency/strong consistency/consistency model~s, cap theorem, consensus/raft/paxos
            idempotent/idempotency
            api gateway~s, service mesh, kubernetes/k8s, container orchestration
            ci cd/continuous delivery/continuous integration
            data pipeline~s/etl, data warehouse~s/data lake~s, database schema/schema design
            multi tenant/multi tenancy
            horizontal scaling/vertical scaling/autoscaling, cdn/content delivery network, observability
            service level objective~s/slo~s
            disaster recovery, zero downtime/blue green, multi region, circuit breaker~s, backpressure
            single point of failure
        """,
        "es": """
            diseño de sistemas/diseño del sistema, arquitectura~s, microservicio~s, sistema~s distribuido~s
            escalabilidad/escalable~s, balanceador~es de carga/balanceo de carga, alta disponibilidad
            tolerancia a fallos/tolerante~s a fallos/resiliencia, particionado/fragmentación de datos
            replicación/réplica~s
            cola~s de mensajes/cola~s de mensajería, orientada a eventos/basada en eventos/dirigida por eventos
            publicación y suscripción, invalidación de caché/capa de caché
            límite de peticiones/limitación de tasa, baja latencia
            consistencia eventual/consistencia fuerte, teorema cap, consenso distribuido
            idempotente~s/idempotencia
            pasarela de api, malla de servicios, orquestación de contenedores
            integración continua/entrega continua/despliegue continuo
            canalización de datos/flujo de datos, almacén de datos/lago de datos
            esquema de base de datos/esquema de la base de datos
            multiinquilino/multi inquilino, escalado horizontal/escalado vertical/autoescalado
            red de distribución de contenidos
            observabilidad, recuperación ante desastres, sin tiempo de inactividad, varias regiones/multirregión
            punto único de fallo
        """,
    },
    "code": {
        "en": """
            code/source code/codebase, python, javascript, typescript, java, golang, kotlin, c++/cpp, c#, php
            sql, html, css
            bash/shell script~s, regex~es, numpy, pandas, django, react component~s, pytest/unit test~s
            stack trace~s/stacktrace~s
            traceback, refactor~s~ed~ing, debug~s~ged~ging, compile error~s/syntax error~s, pull request~s, def
            elif, async
            write … function/implement … function/function that, write … script, write … program
            write … class/implement … class
        """,
        "es": """
            código/código fuente, programa que/programar, función que, escribe … función/implementa … función
            escribe … script, escribe … clase/implementa … clase, depura~r/depure, refactoriza~r/refactorice
            prueba~s unitaria~s
            error de compilación/error de sintaxis, traza de la pila
        """,
    },
    "difficulty": {
        "en": """
            complex/complicated/intricate, difficult/challenging/tricky, advanced/sophisticated
            rigorous~ly/formally
            comprehensive~ly/thorough~ly/exhaustive~ly, detailed/in detail/in depth, nuanced/subtle
            optimal/optimize~d/optimise~d
            optimization/optimisation, edge case~s/corner case~s, constraint~s, strategy/strategies
            design~s~ed~ing
            implement~s~ed~ing/implementation~s, develop~s~ed~ing, solve~s~d/solving/solution~s
            calculate~s~d/calculating/compute~s~d
            simulate~s~d/simulation~s, research~ed~ing, investigate~s~d/investigation
            diagnose~s~d/diagnosis/troubleshoot~ing
            synthesize/synthesise/synthesis, from scratch, production ready/production grade
            essay~s/dissertation/thesis
            proposal~s/white paper, business plan/roadmap, contract~s/clause~s/legal~ly
            forecast~s~ing/projection~s
        """,
        "es": """
            complejo~s/compleja~s/complicado~s/complicada~s, difícil~es/desafiante, avanzado~s/avanzada~s
            riguroso/rigurosa~mente
            exhaustivo/exhaustiva~mente, detallado~s/detallada~mente/en detalle/a fondo/en profundidad
            matiz/matices
            óptimo~s/óptima~s/optimiza~r/optimice/optimización, caso~s límite/casos extremos
            restricción/restricciones
            estrategia~s, diseña~r/diseñe/diseño, implementa~r/implemente/implementación
            desarrolla~r/desarrolle
            resuelve/resolver/resuelva/solución/soluciones, calcula~r/calcule/cálculo, simula~r/simulación
            investiga~r/investigación, diagnostica~r/diagnóstico, sintetiza~r/síntesis, desde cero
            ensayo/tesis, propuesta~s/informe técnico, plan de negocio/hoja de ruta, contrato~s/cláusula~s
            pronóstico~s/previsión
        """,
    },
    "multi_step": {
        "en": """
            step by step, step 1/step one, first … then/firstly … then, first … second/firstly … secondly
            first … finally
            first … after that/first … next, multi step/multiple steps/several steps, each step
            show your work/show your working
            then … finally, followed by, break it down/break this down, work through
        """,
        "es": """
            paso a paso, paso 1/paso uno, primero … luego/primero … después
            primero … segundo/en primer lugar … en segundo lugar
            primero … por último/primero … finalmente, luego … finalmente/después … finalmente
            varios pasos/múltiples pasos
            cada paso, muestra tu trabajo/muestra los pasos, seguido de, desglosa/desglose
        """,
    },
}

OPENERS: Mapping[str, str] = {
    "en": """
        and, but, or, so, also, then, now, ok, okay, yes, no, sure, thanks, why, how so, how come, what about, how about
        what if, what else, anything else, in that case, instead, again, go on, continue, more, another, same, shorter
        longer, make it, make that, try, can you also, could you also, please also, rather
    """,
    "es": """
        y, e, pero, o, así que, también, entonces, ahora, vale, sí, no, gracias, por qué, cómo así, qué tal, qué hay de
        y si, qué más, algo más, en ese caso, en cambio, otra vez, de nuevo, sigue, continúa, más, otro, otra, lo mismo
        hazlo, ponlo, prueba, puedes también, mejor
    """,
}
"""How a follow-up begins: a turn that leans on what was said before. Source and notation as for ``TERMS``."""

REFERENCES: Mapping[str, str] = {
    "en": """
        it, its, that, this, these, those, them, they, above, previous, earlier, former, latter, same, again
        instead, else
    """,
    "es": """
        eso, esto, esos, estos, ese, esa, este, esta, ello, anterior, anteriores, mismo, misma, otra vez, además
    """,
}
"""Words of a short turn that point back at what was said before. Source and notation as for ``TERMS``."""


def parse(listing: str) -> Iterator[tuple[str, list[str]]]:
    """The terms of a listing in the notation above: the label of each, and all the ways to write it."""
    for entry in re.split(r"[,\n]", listing):
        if entry.strip():
            variants = [form for variant in entry.split("/") for form in _forms(variant.strip())]
            yield variants[0], variants


def _forms(variant: str) -> Iterator[str]:
    words = []
    for word in variant.split():
        stem, *endings = word.split("~")
        words.append([stem, *(stem + ending for ending in endings)])
    return (" ".join(form) for form in itertools.product(*words))
